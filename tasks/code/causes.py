"""Why what was made is old: by what `out/code` says and what there is."""

import json
from collections.abc import Iterator
from typing import Any

from tasks import paths

SHOWN = 8  # causes that are told


def written() -> dict[str, Any]:
    """What `out/code` says, as `hangs.everything` has it; empty where it is not whole."""
    try:
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths.CODE.glob("*.json")}
    except ValueError:  # one is not whole
        return {}


def causes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Why what was made is old, a line for each file and library that has changed, with whom it concerns."""
    found: dict[str, list[str]] = {}
    for name in old.keys() & new.keys():
        for what in _changed(old[name], new[name]):
            found.setdefault(what, []).append(name)
    lines = [f"{what} ({', '.join(sorted(names))})" for what, names in sorted(found.items())]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more


def _changed(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    was, now = old.get("files", {}), new["files"]
    for file in was.keys() | now.keys():
        if was.get(file) != now.get(file):
            yield f"{file} {'is not run any more' if file not in now else 'changed' if file in was else 'is run now'}"
    was, now = old.get("libraries", {}), new["libraries"]
    for library in was.keys() & now.keys():
        if was[library] != now[library]:
            yield f"{library} {was[library] or 'absent'} → {now[library] or 'absent'}"
