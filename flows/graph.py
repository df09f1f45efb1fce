"""Whether the project's dvc.yaml is the graph that this Tercet runs: a project keeps its own, and may add to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks import paths
from tasks.errors import ParamsError
from tasks.params import read_yaml

GRAPH = Path("dvc.yaml")
MEND = "`tercet update` brings it, or take it from"
KEYS = ("foreach", "matrix", "cmd", "params", "deps", "outs")


def check() -> None:
    """See that each of our stages runs what it should, and reads and writes at least what it should.

    Raises:
        ParamsError: one does not, as after an update of Tercet; the message says which, and where it is right.
    """
    if is_ours():
        return
    right = paths.packaged(GRAPH)
    whole, wanted = read_yaml(GRAPH), read_yaml(right)
    if [each for each in wanted["vars"] if each not in (whole.get("vars") or ())]:
        raise ParamsError(f"{GRAPH}: vars: this Tercet wants `{wanted['vars']}`; {MEND} {right}")
    here = whole.get("stages")
    for name, stage in wanted["stages"].items():
        if lacking := sorted(_said(stage) - _said(here.get(name) if isinstance(here, dict) else None)):
            more = f" (and {len(lacking) - 1} more)" if lacking[1:] else ""
            said = f"{GRAPH}: {name}: this Tercet wants `{' '.join(lacking[0])}`{more}"
            raise ParamsError(f"{said}; {MEND} {right}")


def is_ours() -> bool:
    """Whether it is that of this Tercet to the byte, with nothing added."""
    return GRAPH.read_bytes() == paths.packaged(GRAPH).read_bytes()


def _said(stage: Any) -> set[tuple[str, str]]:
    """What a stage runs, reads and writes, without how; nothing where it is none."""
    inner = stage.get("do") if isinstance(stage, dict) else None
    return set(_lines(stage)) | set(_lines(inner))


def _lines(stage: Any) -> Iterator[tuple[str, str]]:
    for key in KEYS if isinstance(stage, dict) else ():
        value = stage.get(key, ())
        for each in value if isinstance(value, list | tuple) else [value]:
            yield f"{key}:", str(next(iter(each), "") if key == "outs" and isinstance(each, dict) else each)
