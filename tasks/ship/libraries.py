"""The packages that a bundle's script runs on, with all that they need, as they are installed here."""

from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution
from typing import cast

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tasks.ship import licences

USES = ("numpy",)  # the script's own need, whatever runs the program


@dataclass(frozen=True)
class Library:
    """One package; of what is not installed here only what is asked for is known."""

    name: str  # as registries write it
    version: str | None
    licence: str | None  # as it says itself; None: it says nothing
    expression: bool  # whether that is an expression of SPDX's names
    needs: tuple[str, ...]  # the names of others


def of(requires: Iterable[str]) -> dict[str, Library]:
    """Packages and all that they need, by name.

    Args:
        requires: as pip takes them; numpy comes besides.
    """
    found: dict[str, Library] = {}
    waiting = [Requirement(each) for each in (*USES, *requires)]
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        needs = _needs(name, asked.extras)
        if name not in found or set(needs) - set(found[name].needs):
            waiting += needs.values()
            known = set(found[name].needs) if name in found else set()
            found[name] = _library(name, asked, tuple(sorted(known | set(needs))))
    return dict(sorted(found.items()))


def licence(name: str) -> str | None:
    """What an installed package says of its licence; None where it is not installed, or says nothing."""
    try:
        return licences.of_package(cast("Message", distribution(name).metadata))[0]
    except PackageNotFoundError:
        return None


def _needs(name: str, extras: set[str]) -> dict[str, Requirement]:
    """What a package needs on this machine, by name; nothing is known of one that is not installed."""
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError:
        return {}
    asked = [Requirement(line) for line in lines]
    wanted = [
        each
        for each in asked
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *sorted(extras)))
    ]
    return {canonicalize_name(each.name): each for each in wanted}


def _library(name: str, asked: Requirement, needs: tuple[str, ...]) -> Library:
    try:
        about = distribution(name)
    except PackageNotFoundError:
        pinned = [each.version for each in asked.specifier if each.operator == "=="]
        return Library(name, pinned[0] if pinned else None, None, expression=False, needs=needs)
    licence, expression = licences.of_package(cast("Message", about.metadata))
    return Library(name, about.version, licence, expression, needs)
