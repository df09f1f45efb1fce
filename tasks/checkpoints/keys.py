"""config.json, asked key by key: each value is looked at before it is believed, and who asked is known."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tasks.errors import ModelError, suggest

LARGEST = 1 << 31


class Keys:
    """The values of a config.json. `path` names it in errors."""

    def __init__(self, path: Path, values: Mapping[str, Any], aliases: Mapping[str, str] | None = None) -> None:
        self.path, self.values, self._aliases = path, values, aliases or {}
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        """The value as it is; a null counts as one that is not there."""
        key = self._aliases.get(key, key)
        self.asked.add(key)
        value = self.values.get(key)
        return default if value is None else value

    def count(self, key: str, default: int | None = None, most: int = LARGEST) -> int:
        """A whole number above 0."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            raise self.wrong(key, value, "a whole number above 0" + f" and up to {most:,}" * (most != LARGEST))
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number above 0."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise self.wrong(key, value, "a number above 0")
        return float(value)

    def maybe_number(self, key: str) -> float | None:
        """A finite number above 0, or null."""
        return None if self.get(key) is None else self.number(key)

    def flag(self, key: str, *, default: bool | None = None) -> bool:
        """True or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, value, "true or false")
        return value

    def row(self, key: str, length: int, allowed: Collection[Any]) -> list[Any] | None:
        """A list of so many values out of those allowed; None where there is none."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) < length or not all(each in allowed for each in value):
            told = ", ".join(map(str, allowed))
            raise self.wrong(key, str(value)[:80], f"a list of {length}, one for each layer, of {told}")
        return value[:length]

    def only(self, key: str, allowed: Collection[Any], why: str) -> None:
        """Refuse every value but those that change nothing."""
        value = self.get(key)
        if value is not None and not any(value == each for each in allowed):
            raise ModelError(f"{self.path}: {key}: {str(value)[:80]}: {why}, which is not supported")

    def choice(self, key: str, value: Any, allowed: Mapping[str, Any]) -> Any:
        """What a name stands for."""
        if not isinstance(value, str) or value not in allowed:
            raise ModelError(
                f"{self.path}: {key}: {str(value)[:80]!r} is not supported; {suggest(str(value), allowed)}"
            )
        return allowed[value]

    def wrong(self, key: str, value: Any, expected: str) -> ModelError:
        """What to raise of a value."""
        key = self._aliases.get(key, key)
        return ModelError(f"{self.path}: {key}: {expected} expected; received {str(value)[:80]}")

    def inner(self, key: str, values: Mapping[str, Any]) -> "Keys":
        """The values within one."""
        if not isinstance(values, Mapping):
            raise self.wrong(key, values, "a table")
        return Keys(Path(f"{self.path}: {key}"), values)
