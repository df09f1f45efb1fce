"""Arrays of one's own: `train.npz` and, where there is one, `test.npz`, as `numpy.savez` writes them. No pickles.

`inputs.<name>` (integers or floats [n, ...], one or more) and `targets.label` (class numbers [n]) are needed. Further
targets are `targets.<name>`: class numbers [n], or floats [n, ...]. `classes` (str) in train.npz names the classes.
"""

import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tasks.dataset import LABEL, Array, Examples, Source
from tasks.errors import DataError
from tasks.files import sha256
from tasks.params import Prepare

KEY = re.compile(r"(inputs|targets)\.([A-Za-z][A-Za-z0-9_-]*)")
CLASSES = "classes"


def load(params: Prepare) -> Source:
    """Read the folder `params.path`.

    Raises:
        DataError: a file is missing or broken, or an array in it is not what its key promises; the message names both.
    """
    folder = Path(str(params.path))
    train_path, test_path = folder / "train.npz", folder / "test.npz"
    if not train_path.is_file():
        raise DataError(f"{train_path}: no such file; prepare.path names the folder that holds it")
    arrays = read(train_path)
    names = arrays.pop(CLASSES, None)
    train, test = _examples(train_path, arrays), None
    origin = {train_path.name: sha256(train_path)}
    if test_path.is_file():
        test = _examples(test_path, {name: array for name, array in read(test_path).items() if name != CLASSES})
        _check_agreement(test_path, train, test)
        origin[test_path.name] = sha256(test_path)
    most = int(train.targets[LABEL].max())
    classes = tuple(map(str, range(most + 1))) if names is None else _classes(train_path, names, most)
    if test is not None and (highest := int(test.targets[LABEL].max())) >= len(classes):
        raise DataError(f"{test_path}: targets.{LABEL}: classes under {len(classes)} expected; received {highest}")
    return Source("array", train, test, classes, origin)


def read(path: Path) -> dict[str, Array]:
    """The arrays of an `.npz` file by key; nothing in it is executed.

    Raises:
        DataError: not such a file, a key that means nothing here, or an array that holds Python objects.
    """
    arrays: dict[str, Array] = {}
    key = ""
    try:
        with path.open("rb") as stream:  # np.load would leave it open where the file is a broken one
            file = np.load(stream, allow_pickle=False)
            for key in file.files:
                if key != CLASSES and not KEY.fullmatch(key):
                    raise DataError(f"{path}: {key!r}: inputs.<name>, targets.<name> or {CLASSES} expected as a key")
                arrays[key] = file[key]
    except (OSError, ValueError, EOFError, RuntimeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: {key or 'not an .npz file'}: cannot be read: {reason}") from None
    return arrays


def _examples(path: Path, arrays: dict[str, Array]) -> Examples:
    inputs = {key.partition(".")[2]: array for key, array in arrays.items() if key.startswith("inputs.")}
    targets = {key.partition(".")[2]: array for key, array in arrays.items() if key.startswith("targets.")}
    if not inputs or LABEL not in targets:
        received = ", ".join(arrays) or "nothing"
        raise DataError(f"{path}: inputs.<name> and targets.{LABEL} expected; received {received}")
    lengths = {key: len(array) if array.ndim else 0 for key, array in arrays.items()}
    if len(set(lengths.values())) > 1 or not lengths[f"targets.{LABEL}"]:
        raise DataError(f"{path}: arrays of one length, at least 1, expected; received {lengths}")
    return Examples(
        {name: _input(f"{path}: inputs.{name}", array) for name, array in inputs.items()},
        {name: _target(f"{path}: targets.{name}", array, name) for name, array in targets.items()},
    )


def _input(where: str, array: Array) -> Array:
    if array.dtype.kind not in "iuf" or array.ndim < 2:
        raise DataError(
            f"{where}: integers or floats [n, ...] expected; received {array.dtype} {list(array.shape)}"
            + ("; reshape it to [n, 1]" if array.ndim == 1 else "")
        )
    if array.dtype.kind == "f":
        return _floats(where, array)
    limits = np.iinfo(np.int32)
    if array.size and (array.min() < limits.min or array.max() > limits.max):
        raise DataError(f"{where}: integers of 32 bits expected; received {array.min()} to {array.max()}")
    return array


def _target(where: str, array: Array, name: str) -> Array:
    if array.dtype.kind == "f" and name != LABEL:
        return _floats(where, array)
    if array.dtype.kind not in "iu" or array.ndim != 1 or array.min() < 0:
        raise DataError(f"{where}: class numbers [n] from 0 expected; received {array.dtype} {list(array.shape)}")
    return array.astype(np.int64)


def _floats(where: str, array: Array) -> Array:
    with np.errstate(over="ignore"):  # what is too large for float32 is told below
        floats = array.astype(np.float32)
    if wrong := int(floats.size - np.isfinite(floats).sum()):
        raise DataError(f"{where}: finite numbers within float32 expected; received {wrong} that are not")
    return floats


def _classes(path: Path, names: Array, most: int) -> tuple[str, ...]:
    if names.dtype.kind != "U" or names.ndim != 1 or len(set(names.tolist())) != names.size:
        raise DataError(f"{path}: {CLASSES}: different names, str [classes], expected; received {names.dtype} {names}")
    if most >= names.size:
        raise DataError(f"{path}: targets.{LABEL}: {names.size} classes have names; received class {most}")
    return tuple(names.tolist())


def _check_agreement(path: Path, train: Examples, test: Examples) -> None:
    expected, received = ({**_kinds("inputs", e.inputs), **_kinds("targets", e.targets)} for e in (train, test))
    for key in sorted(expected.keys() | received.keys()):
        if expected.get(key) != received.get(key):
            raise DataError(
                f"{path}: {key}: {expected.get(key, 'nothing')} as in training expected; "
                f"received {received.get(key, 'nothing')}"
            )


def _kinds(group: str, arrays: dict[str, Array]) -> dict[str, str]:
    kind = {"i": "integers", "u": "integers", "f": "floats"}
    return {
        f"{group}.{name}": f"{kind[array.dtype.kind]} [{', '.join(['n', *map(str, array.shape[1:])])}]"
        for name, array in arrays.items()
    }
