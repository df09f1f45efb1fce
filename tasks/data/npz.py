"""Arrays of one's own: `train.npz` and, where there is one, `test.npz`, as `numpy.savez` writes them. No pickles.

`inputs.<name>` (integers or floats [n, ...], one or more) and `targets.label` are needed: class numbers [n], or by
`prepare.task` values [n] or [n, values], or 0 and 1 for each of several labels [n, labels]. Further targets are
`targets.<name>`: class numbers [n], or floats [n, ...]. `classes` (str) in train.npz names the classes or labels.
`columns.<name>` (numbers, dates or str [n]) are for `prepare.split`: times or groups.

Integers that have the axes of images are images: all of uint8 that are [n, height, width, channels], or grey and
[n, height, width]; wider integers if they are from 0 to 255 and have 1, 3 or 4 channels, or two sides of at least
`SIDE`. Everything else is numbers; floats always are. `prepare.features` may tell otherwise of any of them.
"""

import logging
import re
from pathlib import Path

import numpy as np

from tasks.data import archives, labels
from tasks.errors import DataError
from tasks.examples import Array, Arrays, times
from tasks.examples.dataset import BY, LABEL, Kind, Source
from tasks.files import sha256
from tasks.members import DataSource
from tasks.params import Feature, Prepare

KEY = re.compile(r"(inputs|targets|columns)\.([A-Za-z][A-Za-z0-9_-]{0,63})")
CLASSES = "classes"
MOST = 2**16  # classes
SIDE = 8  # pixels
CHANNELS = (1, 3, 4)
BYTE = 255
VALUES, LABELS = "for values to predict set `prepare.task: regression`", "for several labels at once `multilabel`"
log = logging.getLogger(__name__)


def check(params: Prepare) -> None:
    """Look whether the data are there.

    Raises:
        DataError: they are not.
    """
    path = Path(str(params.path), "train.npz")
    if not path.is_file():
        raise DataError(
            f"{path}: no such file; prepare.path names the folder that holds it: numpy writes it of your arrays by "
            f"`np.savez('{path}', **{{'inputs.x': x, 'targets.label': y}})`"
        )


def load(params: Prepare) -> Source:
    """Read the folder `params.path`.

    Raises:
        DataError: a file is missing or broken, or an array in it is not what its key promises; the message names both.
    """
    check(params)
    folder = Path(str(params.path))
    train_path, test_path = folder / "train.npz", folder / "test.npz"
    arrays = read(train_path)
    names = arrays.pop(CLASSES, None)
    train, test = _examples(train_path, arrays, params), None
    origin = {train_path.name: sha256(train_path)}
    if test_path.is_file():
        test = _examples(test_path, {name: array for name, array in read(test_path).items() if name != CLASSES}, params)
        _check_agreement(test_path, train, test)
        origin[test_path.name] = sha256(test_path)
    kinds = {name: _kind(array, params.feature(name)) for name, array in train.inputs.items()}
    for name in (name for name, kind in kinds.items() if kind == "image"):
        if params.feature(name).kind is None:
            log.warning(
                "%s: inputs.%s: integers from 0 to 255 are taken for images; numbers are given as floats", folder, name
            )
        train.inputs[name] = _image(f"{train_path}: inputs.{name}", train.inputs[name])
        if test is not None:
            test.inputs[name] = _image(f"{test_path}: inputs.{name}", test.inputs[name])
    classes = () if params.task == "regression" else _classes(train_path, names, _most(train))
    if params.task != "regression" and test is not None and (highest := _most(test)) >= len(classes):
        raise DataError(f"{test_path}: targets.{LABEL}: classes under {len(classes)} expected; received {highest}")
    return Source(kinds, train, test, classes, origin)


def read(path: Path) -> dict[str, Array]:
    """The arrays of an `.npz` file by key; nothing in it is executed.

    Raises:
        DataError: not such a file, a key that means nothing here, or an array that holds Python objects.
    """
    arrays = {}
    for key, load_array in archives.members(path):
        if key != CLASSES and not KEY.fullmatch(key):
            shown = repr(key if len(key) <= 80 else f"{key[:77]}…")
            raise DataError(
                f"{path}: {shown}: inputs.<name>, targets.<name>, columns.<name> or {CLASSES} expected as a key, a "
                "name of at most 64 letters, digits, - and _"
            )
        if key in arrays:
            raise DataError(f"{path}: {key}: it stands there twice; write the file anew")
        arrays[key] = load_array()
    return arrays


def _examples(path: Path, arrays: dict[str, Array], params: Prepare) -> Arrays:
    inputs = {key.partition(".")[2]: array for key, array in arrays.items() if key.startswith("inputs.")}
    targets = {key.partition(".")[2]: array for key, array in arrays.items() if key.startswith("targets.")}
    if not inputs or LABEL not in targets:
        received = ", ".join(arrays) or "nothing"
        raise DataError(f"{path}: inputs.<name> and targets.{LABEL} expected; received {received}")
    lengths = {key: len(array) if array.ndim else 0 for key, array in arrays.items()}
    if len(set(lengths.values())) > 1 or not lengths[f"targets.{LABEL}"]:
        raise DataError(f"{path}: arrays of one length, at least 1, expected; received {lengths}")
    ready = {name: _target(f"{path}: targets.{name}", array) for name, array in targets.items() if name != LABEL}
    label = {"regression": _told, "multilabel": _labels}.get(params.task, _numbers)
    if params.split.column is not None:
        ready[BY] = _column(path, arrays, f"columns.{params.split.column}", params.split.by)
    return Arrays(
        {name: _input(f"{path}: inputs.{name}", array) for name, array in inputs.items()},
        {LABEL: label(f"{path}: targets.{LABEL}", targets[LABEL])} | ready,
    )


def _input(where: str, array: Array) -> Array:
    if array.dtype.kind not in "iuf" or array.ndim < 2:
        raise DataError(
            f"{where}: integers or floats [n, ...] expected; received {array.dtype} {list(array.shape)}"
            + ("; reshape it to [n, 1]" if array.ndim == 1 else "")
        )
    if not array.size:
        raise DataError(f"{where}: no axis may be empty; received {list(array.shape)}")
    if array.dtype.kind == "f":
        return _floats(where, array)
    limits = np.iinfo(np.int32)
    if array.min() < limits.min or array.max() > limits.max:
        raise DataError(f"{where}: integers of 32 bits expected; received {array.min()} to {array.max()}")
    return array


def _kind(array: Array, told: Feature) -> Kind:
    """What is told of an input counts, but only integers with the axes of an image can be images."""
    if told.kind == "image" and array.dtype.kind in "iu" and array.ndim in (3, 4):
        return "image"
    return "image" if told.kind is None and _is_image(array) else "array"


def _is_image(array: Array) -> bool:
    if array.dtype.kind not in "iu" or array.ndim not in (3, 4):
        return False
    if array.dtype == np.uint8:
        return True
    like = array.shape[3] in CHANNELS if array.ndim == 4 else min(array.shape[1:]) >= SIDE
    return like and array.min() >= 0 and array.max() <= BYTE


def _image(where: str, array: Array) -> Array:
    """Pixels as uint8 [n, height, width, channels]."""
    if array.min() < 0 or array.max() > BYTE:
        raise DataError(f"{where}: pixels from 0 to {BYTE} expected; received {array.min()} to {array.max()}")
    pixels = array.astype(np.uint8)
    return pixels if pixels.ndim == 4 else pixels[..., np.newaxis]


def _column(path: Path, arrays: dict[str, Array], key: str, by: str) -> Array:
    """The times or groups of the examples; times that are texts become what they tell."""
    if key not in arrays:
        raise DataError(f"{path}: no array {key}, which prepare.split names; received {', '.join(arrays)}")
    array = arrays[key]
    if array.dtype.kind not in "iufUM" or array.ndim != 1 or (array != array).any():  # NaN is not itself
        raise DataError(
            f"{path}: {key}: numbers, dates or str [n] expected; received {array.dtype} {list(array.shape)}"
        )
    if array.dtype.kind != "U":
        return array
    rows = [(f"{path}: {key}: number {place}", cell) for place, cell in enumerate(array.tolist())]
    if by == "time":
        return times.ordered(rows)
    for where, cell in rows:
        labels.check(where, key, cell.strip())
    return array


def _target(where: str, array: Array) -> Array:
    return _values(where, array) if array.dtype.kind == "f" else _numbers(where, array)


def _values(where: str, array: Array) -> Array:
    if array.dtype.kind not in "iuf":
        raise DataError(f"{where}: numbers expected; received {array.dtype} {list(array.shape)}")
    if not array.size:
        raise DataError(f"{where}: no axis may be empty; received {list(array.shape)}")
    return _floats(where, array)


def _told(where: str, array: Array) -> Array:
    if array.ndim > 2:
        raise DataError(f"{where}: values [n] or [n, values] expected; received {array.dtype} {list(array.shape)}")
    return _values(where, array)


def _labels(where: str, array: Array) -> Array:
    if array.dtype.kind not in "iufb" or array.ndim != 2 or not array.size or not np.isin(array, (0, 1)).all():
        raise DataError(
            f"{where}: 0 or 1 for each label, [n, labels], expected; received {array.dtype} {list(array.shape)}"
        )
    return array.astype(np.int64)


def _numbers(where: str, array: Array) -> Array:
    received = f"received {array.dtype} {list(array.shape)}"
    if array.dtype.kind in "iub" and array.shape[1:] == (1,):
        array = array[:, 0]
    if array.dtype.kind not in "iub" or array.ndim != 1:
        raise DataError(f"{where}: class numbers [n] from 0 expected; {received}{_other(array)}")
    if array.min() < 0 or array.max() >= MOST:  # before the cast, which would let unsigned ones become negative
        raise DataError(
            f"{where}: class numbers from 0 to {MOST - 1} expected; received {array.min()} to {array.max()}"
        )
    return array.astype(np.int64)


def _other(array: Array) -> str:
    """What a label that is no class number may be meant for."""
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "iuf" and np.isin(array, (0, 1)).all():
        if (array.sum(axis=1) == 1).all():
            return "; for one-hot labels give `argmax(axis=1)`"
        return f"; {VALUES}, {LABELS}"
    if array.dtype.kind in "US":
        return "; give their numbers, and names as `classes`: `classes, y = numpy.unique(y, return_inverse=True)`"
    whole = array.dtype.kind == "f" and (array == np.floor(array)).all()
    return f"{'; for classes give `y.astype(int)`' if whole else ''}; {VALUES}" if array.dtype.kind == "f" else ""


def _floats(where: str, array: Array) -> Array:
    with np.errstate(over="ignore"):  # what is too large for float32 is told below
        floats = array.astype(np.float32)
    if wrong := int(floats.size - np.isfinite(floats).sum()):
        raise DataError(f"{where}: finite numbers within float32 expected; received {wrong} that are not")
    return floats


def _most(examples: Arrays) -> int:
    """The highest class number, or the place of the last label."""
    label = examples.targets[LABEL]
    return label.shape[1] - 1 if label.ndim > 1 else int(label.max())


def _classes(path: Path, names: Array | None, most: int) -> tuple[str, ...]:
    if names is None:
        return tuple(map(str, range(most + 1)))
    if names.dtype.kind != "U" or names.ndim != 1 or len(set(names.tolist())) != names.size:
        received = f"{names.dtype} {names}" if names.size <= 20 else f"{names.dtype} {list(names.shape)}"
        raise DataError(f"{path}: {CLASSES}: different names, str [classes], expected; received {received}")
    if most >= names.size:
        raise DataError(f"{path}: targets.{LABEL}: {names.size} classes have names; received class {most}")
    return tuple(names.tolist())


def _check_agreement(path: Path, train: Arrays, test: Arrays) -> None:
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
        if name != BY  # times and groups are looked at where examples are parted
    }


SOURCE = DataSource(schema=Prepare, check=check, load=load)
