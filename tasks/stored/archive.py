"""Reading the containers that Keras models come in: zip archives and HDF5 files that a stranger may have made."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError

if TYPE_CHECKING:
    import h5py

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
EXPANSION = 100  # times its size on the disk: Keras stores plainly, so what grows more is a bomb
SMALL = 1 << 20  # bytes that need no such suspicion
TEXT_LIMIT = 64 << 20  # bytes of a description


def keras_zip(path: Path) -> tuple[dict[str, Any], str]:
    """The configuration in a `.keras` file, and the version of Keras that wrote it ("3.15.1").

    Raises:
        ModelError: no zip archive, a damaged one, one that leads out of itself or grows without measure.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check_member(path, member)
            if damaged := archive.testzip():
                raise ModelError(f"{path}: {damaged} in it is damaged; save the model again")
            config, metadata = (_json(path, archive.read(name), name) for name in (CONFIG, METADATA))
            if WEIGHTS in archive.namelist():
                with archive.open(WEIGHTS) as weights, _open(path, weights) as file:
                    _check_links(path, file)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:  # the last two: encrypted
        raise ModelError(f"{path}: not a whole .keras file, which is a zip archive: {error}") from None
    except KeyError as error:
        raise ModelError(f"{path}: not a .keras file: {' '.join(str(error.args[0]).split())}") from None
    return config, str(metadata.get("keras_version", ""))


def _check_member(path: Path, member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in member.filename:
        raise ModelError(f"{path}: refused: its member {member.filename!r} leads out of the archive")
    if member.file_size > SMALL + EXPANSION * member.compress_size:
        raise ModelError(
            f"{path}: refused: its member {member.filename!r} grows from {member.compress_size} to "
            f"{member.file_size} bytes, which no model does"
        )
    if member.filename in (CONFIG, METADATA) and member.file_size > TEXT_LIMIT:
        raise ModelError(f"{path}: refused: {member.filename} takes {member.file_size} bytes")


@contextmanager
def h5(path: Path) -> Iterator["h5py.File"]:
    """An HDF5 file, open for reading.

    Raises:
        ModelError: it is none, it is damaged, or it reads other files.
    """
    with _open(path, path) as file:
        _check_links(path, file)
        yield file


def _open(path: Path, source: Any) -> "h5py.File":
    import h5py

    try:
        return h5py.File(source, "r")
    except OSError as error:
        raise ModelError(f"{path}: not a whole HDF5 file: {error}") from None


def _check_links(path: Path, group: "h5py.Group") -> None:
    """An HDF5 file may take its data from other files of this machine; a model has no need of that."""
    import h5py

    for name in group:
        if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
            raise ModelError(f"{path}: refused: {group.name}/{name} leads to another file")
        item = group.get(name)
        if isinstance(item, h5py.Group):
            if not isinstance(group.get(name, getlink=True), h5py.SoftLink):  # which could lead in circles
                _check_links(path, item)
        elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
            raise ModelError(f"{path}: refused: {item.name} reads another file")


def h5_config(path: Path) -> tuple[dict[str, Any], str]:
    """The configuration in an `.h5` file, and the version of Keras that wrote it.

    Raises:
        ModelError: not a whole HDF5 file, or weights without a model.
    """
    with h5(path) as file:
        text = file.attrs.get("model_config")
        if text is None:
            raise ModelError(
                f"{path}: holds weights and no model; save the whole model: model.save('model.keras'), not save_weights"
            )
        version = file.attrs.get("keras_version", "")
    return _json(path, text, "model_config"), version.decode() if isinstance(version, bytes) else str(version)


def _json(path: Path, text: str | bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: {what} in it is damaged: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: {what} in it is damaged: a mapping is expected, received {type(value).__name__}")
    return value


def one_line(error: BaseException) -> str:
    """The beginning of what an exception says, in one line and not in pages."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) < 300 else f"{said[:300]} …"
