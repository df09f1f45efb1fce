"""Stage `sources`: write down what from outside a stage hangs from, so that a change of it makes its output old."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks import paths
from tasks.errors import DataError, WordsError, suggest
from tasks.files import below, hashes, read_json, write_json
from tasks.packages import PACKAGE, located
from tasks.params import Params, Sourced, Words
from tasks.training import custom

KNOWN = paths.STATE / "hashes.json"  # of files of that size and time: large ones are not read on every look


def sources(params: Params, kind: str) -> None:
    """Write `out/sources/<kind>.json`, and only where it would say something else than it does.

    `data` has the SHA-256 of each file that `prepare.path` names, `model` of the models of one's own, the modules of
    their layers and the files of words' vectors. They are empty where there is nothing of the kind.

    Raises:
        DataError: a file is not there.
        WordsError: there is no such kind.
    """
    if kind not in KINDS:
        raise WordsError(f"no kind of source is named {kind!r}; {suggest(kind, KINDS)}")
    path, value = paths.source(kind), KINDS[kind](params)
    if value != read_json(path):
        write_json(path, value)


def _of_data(params: Params) -> dict[str, str]:
    given, tokenizer = params.prepare.path, params.prepare.tokenizer
    found = {path.as_posix(): path for path in (_below(Path(given), f"prepare.path: {given}") if given else [])}
    return _hashed(found | (_files("prepare.tokenizer", tokenizer) if tokenizer else {}))


def _of_models(params: Params) -> dict[str, str]:
    return _hashed(models(params))


def _hashed(found: dict[str, Path]) -> dict[str, str]:
    """The SHA-256 of files, by what every machine calls them."""
    known = hashes(found.values(), KNOWN)
    return {name: known[path.as_posix()] for name, path in sorted(found.items())}


def models(params: Params) -> dict[str, Path]:
    """The files of models of one's own, their layers' modules and words' vectors, by what every machine calls them.

    Raises:
        DataError, ModelError: one is not there.
    """
    entries: dict[str, Any] = {"model": params.model}
    for name, entry in params.compress.items():
        entries |= {f"compress.{name}": entry}
        entries |= {f"compress.{name}.{key}": getattr(entry, key, None) for key in ("model", "teacher")}
    found: dict[str, Path] = {}
    for key, entry in entries.items():
        if isinstance(entry, Sourced):
            found |= _files(f"{key}.source", entry.source)
            layers = getattr(entry, "layers", None)
            found |= {path.as_posix(): path for path in (custom.files(layers) if layers else [])}
        if isinstance(entry, Words) and entry.vectors:
            found[Path(entry.vectors).as_posix()] = _file(f"{key}.vectors", Path(entry.vectors))
    return found


def _file(key: str, path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"{key}: {path}: no such file")
    return path


def _files(key: str, source: str) -> dict[str, Path]:
    try:
        path = located(source)
    except DataError as error:
        raise DataError(f"{key}: {error}") from None
    if source.startswith(PACKAGE):
        return {f"{source}/{path.name}": path}
    return {each.as_posix(): each for each in _below(path, f"{key}: {source}")}


def _below(path: Path, told: str) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{told}: no such file or folder")
    return [file for file in below(path) if file.is_file()]


KINDS: dict[str, Callable[[Params], dict[str, Any]]] = {
    "data": _of_data,
    "model": _of_models,
}
