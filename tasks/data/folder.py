"""Images in folders: one folder for each class, of its name, with JPEG and PNG files at any depth.

The class folders lie in `prepare.path` itself, or in its folders `train` and, where there is one, `test`. An archive of
such folders (tar, compressed or not, or ZIP) is read as it is: its images go into out/data in packed shards, as those
of a folder do with `prepare.pack`. What is hidden (a name that begins with a dot) is not looked at, links are followed,
those of an archive within it alone, and the case of a suffix does not matter. Other files are left out with a
warning, but a class that has pictures of other kinds alone is an error. Where the split is by group, an image is
of the group whose folder holds it, within that of its class: `cat/camera-3/x.jpg`; a group may have a folder in several
classes.
"""

import logging
from collections import Counter
from collections.abc import Container, Iterable
from hashlib import sha256
from itertools import chain
from pathlib import Path

import numpy as np

from tasks.data import trees
from tasks.data.trees import Tree
from tasks.errors import DataError, suggest
from tasks.examples import Array
from tasks.examples.dataset import BY, LABEL, Source
from tasks.examples.files import Files
from tasks.examples.images import Look, look
from tasks.members import DataSource
from tasks.params import Prepare

INPUT = "image"
SUFFIXES = (".jpg", ".jpeg", ".png")
# pictures too, which nobody puts into a class by mistake
UNREAD = (
    ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".jfif", ".jpe", ".ppm",
    ".pgm", ".pbm", ".tga", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".dcm",
)  # fmt: skip
MANY = 8  # suffixes, of more of which a warning counts the rest together
SPLITS = ("train", "training", "test", "testing", "val", "valid", "validation", "dev")
Index = list[tuple[str, str]]  # the SHA-256 of a file, and its path
log = logging.getLogger(__name__)


def check(params: Prepare) -> None:
    """Look whether the data are there.

    Raises:
        DataError: they are not.
    """
    path = Path(str(params.path))
    if not path.is_dir() and not trees.is_archive(path):
        what = "neither a folder nor an archive (tar, ZIP)" if path.exists() else "no such folder"
        raise DataError(
            f"{params.path}: {what}; prepare.path names one that holds a folder of images for each class, or "
            "`train` and `test` with such folders"
        )


def load(params: Prepare) -> Source:
    """Index the folder `params.path`; every image is decoded once, and none is kept.

    Raises:
        DataError: a file is no whole image, lies in no class, or is in training and in test; or the images differ in
            size and none is asked for. The message names the file.
    """
    check(params)
    path = Path(str(params.path))
    tree: Tree = trees.Folder(path) if path.is_dir() else trees.Archive(path, is_image)
    folders, places = _places(tree)
    classes = tuple(places["train"])
    _check_classes(classes, folders, places)
    seen: dict[Path, Look] = {}
    index = {split: _index(where, seen, tree) for split, where in places.items()}
    _tell_of_two_classes(chain(*index.values()), places.values())
    shape = _shape(seen, params)
    listed = "\n".join(f"{digest} {path}" for each in index.values() for digest, path in each)
    origin = {path.as_posix(): sha256(listed.encode(errors="surrogateescape")).hexdigest()}
    examples, judged = (
        Files(
            INPUT,
            np.array(index[split], object).reshape(-1, 2),
            shape,
            _told(folders[split], where, classes, params),
            store=tree.store,
            packed=params.pack or not path.is_dir(),
        )
        for split, where in places.items()
    )
    return Source({INPUT: "image"}, examples, judged if len(judged) else None, classes, origin)


def _places(tree: Tree) -> tuple[dict[str, Path], dict[str, dict[str, list[Path]]]]:
    """The folder of each split, and its images by class; none where there is no test split."""
    inside = tree.folders(tree.root)
    given = tree.root / "train" in inside
    folders = {"train": tree.root / "train" if given else tree.root, "test": tree.root / "test"}
    if given:
        _tell_left_out(inside, folders, "only `train` and `test` are read")
    test = _by_class(tree, folders["test"]) if given and folders["test"] in inside else {}
    return folders, {"train": _by_class(tree, folders["train"]), "test": test}


def _check_classes(
    classes: tuple[str, ...], folders: dict[str, Path], places: dict[str, dict[str, list[Path]]]
) -> None:
    """Refuse folders that are no classes, or classes that training has not."""
    if all(name.lower() in SPLITS for name in classes):
        raise DataError(
            f"{folders['train']}: the folders {', '.join(classes)} look like splits and not like classes; name them "
            "`train` and `test`"
        )
    for name in places["test"]:
        if name not in classes:
            raise DataError(f"{folders['test'] / name}: there is no such class in training; {suggest(name, classes)}")


def is_image(path: Path) -> bool:
    """Whether a file is one that is read, by its name."""
    return path.suffix.lower() in SUFFIXES


def _tell_left_out(folders: Iterable[Path], known: Container[str], why: str) -> None:
    """A warning of the folders that nothing comes of."""
    for path in folders:
        if path.name not in known and not path.name.startswith("."):
            log.warning("%s: it is left out: %s", path, why)


def _by_class(tree: Tree, folder: Path) -> dict[str, list[Path]]:
    """The images of each class, both in the order of their names.

    Raises:
        DataError: an image lies in no class, a class has pictures that are not read alone, or there is no image at all.
    """
    places: dict[str, list[Path]] = {}
    others: list[Path] = []
    for path in tree.files(folder):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts):
            continue
        if not is_image(path):
            others.append(path)
        elif len(parts) == 1:
            raise DataError(f"{path}: it lies in no class: images belong into a folder of their class's name")
        else:
            places.setdefault(parts[0], []).append(path)
    _tell_unread(folder, others, places)
    if not places:
        raise DataError(f"{folder}: no image there; a folder of {', '.join(SUFFIXES)} files for each class expected")
    _tell_left_out(tree.folders(folder), places, "no image there")
    return {name: places[name] for name in sorted(places)}


def _tell_unread(folder: Path, others: list[Path], classes: Container[str]) -> None:
    """A warning of the files that are left out, pictures first.

    Raises:
        DataError: a class has such pictures alone: accuracy would be of fewer classes than there are.
    """
    pictures = [path for path in others if path.suffix.lower() in UNREAD]
    for path in pictures:
        name, *within = path.relative_to(folder).parts
        if within and name not in classes:
            raise DataError(
                f"{folder / name}: a class without JPEG or PNG, which alone are read; its pictures are "
                f"{path.suffix.lower()}, as {path}; convert them, or take the folder away"
            )
    if others:
        counts = Counter(path.suffix.lower() or "without a suffix" for path in others)
        kinds = sorted(counts, key=lambda kind: (kind not in UNREAD, -counts[kind], kind))
        told = [f"{counts[kind]} {kind}" for kind in kinds[:MANY]]
        told += [f"{rest} of {len(kinds) - MANY} other kinds"] if (rest := sum(counts[k] for k in kinds[MANY:])) else []
        first, mend = (pictures or others)[0], "; convert the pictures" if pictures else ""
        log.warning(
            "%s: left out, as JPEG and PNG are read: %s; the first is %s%s", folder, ", ".join(told), first, mend
        )


def _index(places: dict[str, list[Path]], seen: dict[Path, Look], tree: Tree) -> Index:
    """The files of all classes, class by class; what each of them is goes into `seen`."""
    index = []
    for paths in places.values():
        for path in paths:
            try:
                content = tree.store.read(path.as_posix())
                seen[path] = look(content)
            except OSError as error:
                raise DataError(f"{path}: {error.strerror}; correct or delete it") from None
            except ValueError as error:
                raise DataError(f"{path}: {error}; correct or delete the file") from None
            index.append((sha256(content).hexdigest(), path.as_posix()))
    return index


def _tell_of_two_classes(index: Iterable[tuple[str, str]], places: Iterable[dict[str, list[Path]]]) -> None:
    """A warning of the same image in two classes, of which one is wrong."""
    kind = {path.as_posix(): name for where in places for name, paths in where.items() for path in paths}
    first: dict[str, str] = {}
    pairs = [(path, other) for digest, path in index if kind[other := first.setdefault(digest, path)] != kind[path]]
    if pairs:
        more = f", and {len(pairs) - 1} more such pairs" if len(pairs) > 1 else ""
        log.warning("%s: the same image as %s, which is of another class%s: one of them is wrong", *pairs[0], more)


def _shape(seen: dict[Path, Look], params: Prepare) -> tuple[int, int, int]:
    channels = params.channels or (1 if all(each.grey for each in seen.values()) else 3)
    if params.height is not None and params.width is not None:
        return params.height, params.width, channels
    sizes: dict[tuple[int, int], Path] = {}
    for path, each in seen.items():
        sizes.setdefault((each.height, each.width), path)
    if len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise DataError(
            f"images of one size expected, or `height` and `width` to make them so; {first} has {one[0]} x "
            f"{one[1]}, {second} {other[0]} x {other[1]}"
        )
    return (*next(iter(sizes)), channels)


def _told(folder: Path, places: dict[str, list[Path]], classes: Iterable[str], params: Prepare) -> dict[str, Array]:
    """The targets of all images of a split, class by class."""
    told: dict[str, Array] = {LABEL: _labels(places, classes)}
    if params.split.by == "group":
        told[BY] = np.array([_group(path.relative_to(folder), path) for paths in places.values() for path in paths])
    return told


def _group(within: Path, path: Path) -> str:
    """The folder within that of the class in which an image lies."""
    if len(within.parts) < 3:
        told = "split by group needs a folder for each group (a patient, a camera) within those of the classes"
        raise DataError(f"{path}: it is of no group; {told}, such as {path.parent / 'patient-1' / path.name}")
    return within.parts[1]


def _labels(places: dict[str, list[Path]], classes: Iterable[str]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    number = {name: place for place, name in enumerate(classes)}
    return np.repeat([number[name] for name in places], [len(paths) for paths in places.values()]).astype(np.int64)


SOURCE = DataSource(schema=Prepare, check=check, load=load)
