"""Plain values in the configuration of a Keras 3 model, which JSON has no word for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tasks.foreign.flat import FLOATS

LORA = ("lora_rank", "lora_alpha")


def plain(value: Any) -> Any:
    """A value, or a list of values, as Python has it."""
    if isinstance(value, list):
        return [plain(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    config: Any = value.get("config")
    match value.get("class_name"):
        case "__numpy__" | "__tensor__":
            return np.array(config["value"], config["dtype"])
        case "__tuple__":
            return tuple(plain(part) for part in value["items"])
        case "__slice__":
            return slice(*(plain(config[end]) for end in ("start", "stop", "step")))
        case "__ellipsis__":
            return Ellipsis
        case "DTypePolicy":
            return dtype(value)
    return value


def dtype(value: Any) -> Any:
    """The name of a type, whether it is given as such or as a policy."""
    return value["config"].get("name") if isinstance(value, Mapping) else value


def merged(config: Any) -> Any:
    """The configuration without low-rank weights beside a kernel, which the file has merged into it (LoRA)."""
    if isinstance(config, list):
        return [merged(part) for part in config]
    if not isinstance(config, Mapping):
        return config
    return {key: merged(part) for key, part in config.items() if key not in LORA}


def in_float32(config: Any) -> tuple[Any, set[str]]:
    """The configuration of the same model, computing in float32; and the other types that it asked for.

    The weights of a mixed model are float32 in its file already; other ones are cast as they are read.
    """
    found: set[str] = set()
    return _in_float32(config, found), found


def _in_float32(value: Any, found: set[str]) -> Any:
    if isinstance(value, list):
        return [_in_float32(part, found) for part in value]
    if not isinstance(value, Mapping):
        return value
    made = {}
    for key, part in value.items():
        name = dtype(part) if key in ("dtype", "dtype_policy") and part else None
        if name in FLOATS:
            found.add(name)
        made[key] = "float32" if name in FLOATS else _in_float32(part, found)
    return made
