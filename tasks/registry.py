"""Families of functions behind names: literal mappings of name to `"module:function"`, imported only when used."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from tasks.errors import ParamsError, suggest


def resolve(registry: Mapping[str, str], name: str, what: str) -> Any:
    """The function that `registry` holds under `name`, its module imported now.

    Args:
        registry: name to `"package.module:function"`.
        name: as the user wrote it.
        what: the kind of thing named, for the error: "data source", "method of compression".

    Raises:
        ParamsError: no such name; the message has a near match and all that is allowed.
    """
    if name not in registry:
        raise ParamsError(f"no {what} is named {name!r}; {suggest(name, registry)}")
    module, _, function = registry[name].partition(":")
    return getattr(import_module(module), function)
