"""Reading the containers that Keras models come in: zip archives and HDF5 files that a stranger may have made."""

import json
import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError
from tasks.scratch import scratch

if TYPE_CHECKING:
    import h5py

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
EXPANSION = 100  # times its size on the disk: Keras stores plainly, so what grows more is a bomb
SMALL = 1 << 20  # bytes that need no such suspicion
TEXT_LIMIT = 64 << 20  # bytes of a description
LEVELS = 64  # of groups within each other; a model within a model takes 4
ZIP = ".keras"
HDF5 = (".h5", ".hdf5")


@dataclass(frozen=True)
class Described:
    """What a file says of its model."""

    config: dict[str, Any]  # `class_name` and `config`
    version: str  # of the Keras that wrote it: "3.15.1"
    numbers: int  # that its weights are


def described(path: Path) -> Described:
    """What a `.keras` or `.h5` file says of its model.

    Raises:
        ModelError: damaged, no model, or made to harm: it leads out of itself or in circles, or grows without measure.
    """
    return _keras_zip(path) if path.suffix == ZIP else _h5(path)


def _keras_zip(path: Path) -> Described:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                _check_member(path, member)
            _check_growth(path, sum(member.file_size for member in members), "its members grow")
            if damaged := archive.testzip():
                raise ModelError(f"{path}: {damaged} in it is damaged; save the model again")
            config, metadata = (_json(path, archive.read(name), name) for name in (CONFIG, METADATA))
            with archive.open(WEIGHTS) as weights, _opened(path, weights) as file:
                numbers = _numbers(path, file)
    except KeyError as error:
        raise ModelError(f"{path}: not a .keras file: {' '.join(str(error.args[0]).split())}") from None
    # the last: encrypted, of an unknown compression, or with bytes changed within a member
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise ModelError(f"{path}: not a whole .keras file, which is a zip archive: {one_line(error)}") from None
    return Described(config, str(metadata.get("keras_version", "")), numbers)


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


def _check_growth(path: Path, size: int, what: str) -> None:
    """Refuse a file whose content is far larger than itself."""
    held = path.stat().st_size
    if size > SMALL + EXPANSION * held:
        raise ModelError(f"{path}: refused: {what} from {held} to {size} bytes, which no model does")


@contextmanager
def _opened(path: Path, source: Any) -> Iterator["h5py.File"]:
    """An HDF5 file, open for reading; whatever the library finds wrong while it is read is told as damage."""
    import h5py

    try:
        with h5py.File(source, "r") as file:
            yield file
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: not a whole HDF5 file: {one_line(error)}") from None


def _numbers(path: Path, file: "h5py.File") -> int:
    """How many numbers an HDF5 file holds.

    Raises:
        ModelError: it takes data from other files, which a model has no need of; its groups lead in circles; or its
            data sets promise far more than the file has.
    """
    numbers = size = 0
    for item in _datasets(path, file):
        if item.external or item.is_virtual:
            raise ModelError(f"{path}: refused: {item.name} reads another file")
        count = item.size or 0
        numbers += count
        size += max(count, *(item.chunks or (0,))) * item.dtype.itemsize
        _check_growth(path, size, "its data sets grow")
    return numbers


def _datasets(path: Path, file: "h5py.File") -> Iterator["h5py.Dataset"]:
    import h5py

    seen = {h5py.h5o.get_info(file.id).addr}
    waiting = [(file["/"], 0)]
    while waiting:
        group, level = waiting.pop()
        if level > LEVELS:
            raise ModelError(f"{path}: refused: its groups are nested deeper than {LEVELS} levels")
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise ModelError(f"{path}: refused: {group.name}/{name} leads to another file")
            if isinstance(link, h5py.SoftLink):  # to what is met by its own name
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if isinstance(item, h5py.Group):
                if address in seen:
                    raise ModelError(f"{path}: refused: {group.name}/{name} leads in circles")
                waiting.append((item, level + 1))
            elif isinstance(item, h5py.Dataset) and address not in seen:
                yield item
            seen.add(address)


def _h5(path: Path) -> Described:
    with _opened(path, path) as file:
        numbers = _numbers(path, file)
        if "model_config" not in file.attrs:
            raise ModelError(
                f"{path}: holds weights and no model; save the whole model: model.save('model.keras'), not save_weights"
            )
        text, version = (_text(path, file, name) for name in ("model_config", "keras_version"))
    return Described(_json(path, text, "model_config"), version, numbers)


def _text(path: Path, file: "h5py.File", name: str) -> str:
    """A text among the attributes of a file; empty where there is none."""
    if name not in file.attrs:
        return ""
    held = file.attrs.get_id(name)
    if held.shape != () or held.get_storage_size() > TEXT_LIMIT:
        raise ModelError(f"{path}: {name} in it is damaged: one text is expected, received {held.shape}")
    text = file.attrs[name]
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    if not isinstance(text, str) or len(text) > TEXT_LIMIT:
        raise ModelError(f"{path}: {name} in it is damaged: one text is expected, received {type(text).__name__}")
    return text


def _json(path: Path, text: str | bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: {what} in it is damaged: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: {what} in it is damaged: a mapping is expected, received {type(value).__name__}")
    return value


@contextmanager
def rewritten(path: Path, config: dict[str, Any]) -> Iterator[Path]:
    """A copy of a `.keras` or `.h5` file that holds this configuration, the weights, and nothing else."""
    import h5py

    with scratch("stored") as folder:
        copy = Path(folder, path.name)
        text = json.dumps(config)
        if path.suffix == ZIP:
            with zipfile.ZipFile(path) as given, zipfile.ZipFile(copy, "w") as made:
                made.writestr(METADATA, given.read(METADATA))
                made.writestr(CONFIG, text)
                with given.open(WEIGHTS) as source, made.open(WEIGHTS, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target)
        else:
            with _opened(path, path) as given, h5py.File(copy, "w") as made:
                for name in ("keras_version", "backend"):
                    made.attrs[name] = _text(path, given, name)
                made.attrs["model_config"] = text
                given.copy("model_weights", made)
        yield copy


def one_line(error: BaseException) -> str:
    """The beginning of what an exception says, in one line and not in pages."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) < 300 else f"{said[:300]} …"
