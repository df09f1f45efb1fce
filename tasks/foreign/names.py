"""Names that layers of Keras 3 may have and TensorFlow has no scope for: with blanks, signs, other alphabets."""

import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
SIGN = re.compile(r"[^A-Za-z0-9_.\\/>-]")


def in_scope(config: Any) -> tuple[Any, dict[str, str]]:
    """The configuration of the same model with names for TensorFlow; and these by what they replace.

    The weights in a file of Keras 3 lie under other names, so they are found as before.
    """
    taken = set(_names(config))
    renamed: dict[str, str] = {}
    for name in sorted(name for name in taken if not SCOPE.fullmatch(name)):
        plain = SIGN.sub("_", name)
        plain = plain if SCOPE.match(plain) else f"layer{plain}"
        renamed[name] = next(each for i in count() if (each := f"{plain}_{i}" if i else plain) not in taken)
        taken.add(renamed[name])
    return (_replaced(config, renamed), renamed) if renamed else (config, renamed)


def _names(value: Any) -> Iterator[str]:
    """The names of all objects that a configuration describes."""
    if isinstance(value, Mapping):
        inner = value.get("config")
        if "class_name" in value and isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
            yield inner["name"]
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from _names(part)


def _replaced(value: Any, renamed: Mapping[str, str]) -> Any:
    """A part of the configuration with other names: of layers, and of those that a call or a model refers to."""
    if isinstance(value, Mapping):
        return {
            key: renamed.get(part, part) if key == "name" and isinstance(part, str) else _replaced(part, renamed)
            for key, part in value.items()
        }
    if not isinstance(value, list):
        return value
    if len(value) == 3 and isinstance(value[0], str) and all(isinstance(number, int) for number in value[1:]):
        return [renamed.get(value[0], value[0]), *value[1:]]
    return [_replaced(part, renamed) for part in value]
