"""Plain values in the configuration of a Keras 3 model, which JSON has no word for."""

from collections.abc import Mapping
from typing import Any

import numpy as np


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
    return value["config"]["name"] if isinstance(value, Mapping) else value
