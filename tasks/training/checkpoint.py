"""What a fitting has after its last whole epoch, so that one that was killed goes on from there to the same bits.

Its variables, its history, and what callbacks keep beside the weights, as the masks of a pruning: nothing else is the
state of a fitting, as `fit` says.
"""

import hashlib
import itertools
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np

from tasks import files, paths

log = logging.getLogger(__name__)
_places: ContextVar[Iterator[Path] | None] = ContextVar("_places", default=None)


@contextmanager
def kept(of: str, *hangs_from: str | Path) -> Iterator[Path]:
    """Within it every fitting goes on from where that of a killed run was, if all that it hangs from is the same.

    Args:
        of: what is made, as `paths.code` calls it: its code and the data count among what it hangs from.
        hangs_from: what else: texts, files, and folders with all that is in them. What is not there is left out.

    Yields the folder, which is named by all of that. It goes away once the block has come to its end, with those that
    nothing goes on from any more.
    """
    told = [*hangs_from, paths.DATA / "card.json", paths.code(of)]
    folder = paths.CHECKPOINTS / of / _digest(told)
    # a method may fit more than once, always in the same order
    token = _places.set(folder / str(number) for number in itertools.count(1))
    try:
        yield folder
    finally:
        _places.reset(token)
    shutil.rmtree(folder.parent, ignore_errors=True)  # those of other parameters too
    with suppress(OSError):  # of something else there are some, or there were none
        paths.CHECKPOINTS.rmdir()


def place() -> Path | None:
    """Where the next fitting within `kept` has its checkpoint; None outside of it."""
    places = _places.get()
    return next(places) if places else None


def save(
    folder: Path, state: Sequence[Any], history: dict[str, list[float | None]], best: Sequence[Any] | None
) -> None:
    """Write a fitting's state as one folder, so that a kill leaves the last whole epoch.

    Args:
        folder: what is there is replaced.
        state: variables, always in the same order.
        history: one value of each metric for each epoch; null where it was no finite number.
        best: those of the best epoch, where this is it; None: they stay as they are, if there are any.
    """
    with files.replaced_folder(folder) as temporary:
        _store(state, temporary / "last.npz")
        if best is not None:
            _store(best, temporary / "best.npz")
        elif (folder / "best.npz").exists():
            shutil.copy2(folder / "best.npz", temporary)
        files.write_json(temporary / "history.json", history)


def resume(folder: Path, state: Sequence[Any]) -> dict[str, list[float | None]]:
    """Give variables what `save` has kept, and return the history; an empty one where nothing fits."""
    if not (folder / "history.json").exists():
        return {}
    if not _load(folder / "last.npz", state):
        log.warning("%s: of a network of other shapes; its training begins anew", folder)
        return {}
    history: dict[str, list[float | None]] = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    return history


def restore_best(folder: Path, variables: Sequence[Any]) -> None:
    """Give variables the values of the best epoch."""
    assert _load(folder / "best.npz", variables), folder


def _digest(told: Sequence[str | Path]) -> str:
    parts = []
    for each in told:
        if isinstance(each, str):
            parts.append(each)
            continue
        inside = sorted(path for path in each.rglob("*") if path.is_file()) if each.is_dir() else [each]
        parts += [files.sha256(path) for path in inside if path.exists()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _store(variables: Sequence[Any], path: Path) -> None:
    np.savez(path, *[variable.numpy() for variable in variables])


def _load(path: Path, variables: Sequence[Any]) -> bool:
    """Whether the arrays are the variables' by number and shape: else nothing is changed."""
    with np.load(path, allow_pickle=False) as arrays:
        found = [arrays[name] for name in arrays.files]
    if [array.shape for array in found] != [tuple(variable.shape) for variable in variables]:
        return False
    for variable, array in zip(variables, found, strict=True):
        variable.assign(array)
    return True
