"""Families behind names: literal tables of name to `"module:object"`, imported only when used, and what plug-ins add.

A plug-in is a package that is installed beside Tercet and names its members as entry points of a table's group:

    [project.entry-points."tercet.kinds"]
    toy-board = "toy.board:KIND"

Its members stand equal to those here. Entry points are read where a name is not in the table, or all are asked for.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from tasks.errors import ParamsError, suggest

T = TypeVar("T")
GROUPS = "tercet."  # how the groups of entry points begin that are ours


def named(target: str) -> Any:
    """What `"package.module:object"` names, its module imported now."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


class Registry(Mapping[str, str], Generic[T]):
    """A family: name to `"package.module:object"`, Tercet's own members first, then those of plug-ins.

    Args:
        what: the kind of thing named, for errors: "kind of device".
        group: of the entry points that add to it.
        members: Tercet's own, as a literal.
        type: what every member is.
    """

    def __init__(self, what: str, group: str, members: Mapping[str, str], type: type[T]) -> None:  # noqa: A002 - see above
        self.what, self.group, self.members, self.type = what, group, members, type

    def __getitem__(self, name: str) -> str:
        return self.members[name] if name in self.members else self._plugged()[name].value

    def __contains__(self, name: object) -> bool:
        return name in self.members or name in self._plugged()

    def __iter__(self) -> Iterator[str]:
        yield from self.members
        yield from self._plugged()

    def __len__(self) -> int:
        return len(self.members) + len(self._plugged())

    def load(self, name: str) -> T:
        """A member, its module imported now.

        Raises:
            ParamsError: there is no such name, with a near match and all that is allowed; or a plug-in's member cannot
                be imported, or is something else: the message names the distribution that it came with.
        """
        if name not in self:
            raise ParamsError(f"no {self.what} is named {name!r}; {suggest(name, self)}")
        if name in self.members:
            found = named(self.members[name])
            assert isinstance(found, self.type), name
            return found
        point = self._plugged()[name]
        try:
            found = point.load()
        except Exception as error:  # somebody else's code: whatever it raises, the user can only look there
            raise self.broken(name, f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        if not isinstance(found, self.type):
            wanted = f"{self.type.__module__}.{self.type.__qualname__}"
            raise self.broken(name, f"a {wanted} is expected there; received {type(found).__qualname__}")
        return found

    def broken(self, name: str, reason: str) -> ParamsError:
        """An error that a plug-in's member is the cause of: names the package that it came with."""
        return ParamsError(f"{_told(self._plugged()[name])}: {reason}; mend or uninstall the plug-in")

    def plugins(self) -> list[str]:
        """The names that plug-ins add."""
        return list(self._plugged())

    def checked(self, name: str) -> str:
        """The name, if there is such a member; for a schema.

        Raises:
            ValueError: there is none, with a near match and all that is allowed.
        """
        if name not in self:
            raise ValueError(f"received {name!r}; {suggest(name, self)}")
        return name

    def _plugged(self) -> dict[str, EntryPoint]:
        """What plug-ins add, by name.

        Raises:
            ParamsError: two members have one name.
        """
        found: dict[str, EntryPoint] = {}
        for point in points(tuple(sys.path)).get(self.group, ()):
            if point.name in self.members or (point.name in found and found[point.name] != point):
                whose = f"{_told(found[point.name])}" if point.name in found else "Tercet's own"
                raise ParamsError(f"{_told(point)}: the name is taken by {whose}; the plug-in must choose another one")
            found[point.name] = point
        return found


@lru_cache
def points(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:  # noqa: ARG001 - the places they are found in
    """What packages add to all tables, by group, in the order of names: looked for once for each path of packages."""
    found = entry_points()
    named = {group: found.select(group=group) for group in found.groups if group.startswith(GROUPS)}
    return {group: tuple(sorted(each, key=lambda point: (point.name, point.value))) for group, each in named.items()}


def _told(point: EntryPoint) -> str:
    """Where a plug-in's member comes from."""
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
    return f"plug-in {package}, {point.group} {point.name!r} = {point.value!r}"
