"""A params.yaml for data of one's own: what they are is seen by looking, and a small network for such is the start."""

import csv
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from string import Template
from typing import Any, Literal, TextIO

from tasks import paths
from tasks.bench import devices as catalog
from tasks.data import labelled, table, trees
from tasks.data.folder import SUFFIXES, UNREAD, is_image
from tasks.errors import DataError, ModelError, WordsError, not_utf8, suggest
from tasks.examples import tables, texts
from tasks.files import below

STARTS = Path("infra/starts")
LOOKED_AT = 1000  # files or rows, to see what data are
SIDE = 64  # pixels that images of several sizes, or of large ones, are brought to
CLASSES = 20  # different numbers, of more of which a target is a value and no class
MOST_CALIBRATION = 100
LENGTHS = 16, 256  # the least and the most words that a small network is given of a text
DEVICES = ("host-cpu", "ethos-u55-128")
EMBEDDED = ("host-cpu", "host-cpu-2t")  # an Ethos-U has no operator that looks embeddings up
MODELS = {
    "images": "  family: cnn\n  filters: [16, 32]\n  dense: [64]",
    "table": "  family: mlp\n  hidden: [32, 16]",
    "texts": "  family: bow\n  embedding: 32",
}
EPOCHS = {"images": 15, "table": 40, "texts": 15}
READ = {".csv": "a header and rows", ".jsonl": "an object of JSON in each line"}  # by suffix, what is in the file
Kind = Literal["images", "table", "texts"]


@dataclass(frozen=True)
class Own:
    """What somebody brings.

    Attributes:
        data: a folder of images or texts by class, an archive of images, a .csv or .jsonl file.
        target: the column, or the key, that is to be told; None: `label` of texts.
        text: the one that has the text; None: `text`, where there is such a column; else a table has none.
        devices: by name; none: two that fit the kind.
        model: a file of a network that is trained already; None: a small one is trained.
    """

    data: Path
    target: str | None = None
    text: str | None = None
    devices: Sequence[str] = ()
    model: Path | None = None


def columns(data: Path) -> list[str]:
    """The columns of a CSV file, or the keys of the first line of a .jsonl file; none of anything else.

    Raises:
        DataError: it cannot be read as such, or there is no row.
    """
    first = next(_rows(data), None)
    if first is None and data.suffix in READ and data.is_file():
        raise DataError(f"{data}: {READ[data.suffix]} expected; it has no row")
    if not isinstance(first, dict | None):
        raise DataError(f"{data}: {READ[data.suffix]} expected; received {json.dumps(first)[:40]}")
    return list(first or ())


def column(flag: str, name: str | None, there: Collection[str]) -> str:
    """The name, if there is such a column.

    Raises:
        WordsError: there is none, with a near match and all that there are.
    """
    if name not in there:
        raise WordsError(f"{flag}: received {repr(name) if name else 'nothing'}; {suggest(name or '', there)}")
    return str(name)


def trained(model: Path) -> Path:
    """The file, or the folder, of a network, if it is there.

    Raises:
        ModelError: it is not.
    """
    if not model.exists():
        raise ModelError(f"--model: {model}: no such file; a network that is trained expected, such as a .keras file")
    return model


def kind(own: Own) -> Kind:
    """What the data are.

    Raises:
        DataError: they are nothing of these.
    """
    what = "none of these"
    if not own.data.exists():
        what = "no such file or folder"
    elif own.data.is_dir():
        suffixes = {path.suffix.lower() for path in islice(_files(own.data), LOOKED_AT)}
        if suffixes & set(SUFFIXES):
            return "images"
        if suffixes & {".txt", ".jsonl"} or own.text:
            return "texts"
        if unread := sorted(suffixes & set(UNREAD)):
            what = f"its pictures are {', '.join(unread)}, which are not read: convert them"
    elif trees.is_archive(own.data):
        return "images"
    elif own.data.suffix == ".jsonl" or own.text or (own.data.suffix == ".csv" and "text" in columns(own.data)):
        return "texts"
    elif own.data.suffix == ".csv":
        return "table"
    raise DataError(
        f"--data: {own.data}: {what}; a folder of images (.png, .jpg) or of texts (.txt) with a folder for each class, "
        "an archive of such images, a .csv or a .jsonl file expected; for other sources: `tercet init --from PRESET`"
    )


def written(name: str, own: Own, project: Path) -> str:
    """The text of a params.yaml.

    Args:
        name: of the project.
        own: what is brought.
        project: the folder that it will stand in; data and models within are named from there.

    Raises:
        DataError: the data are nothing that is known.
        ModelError: the network is not there.
        WordsError: there is no such column or device.
    """
    what = kind(own)
    own = _with_target(own, what)
    template = paths.packaged(STARTS / f"{what}.yaml").read_text(encoding="utf-8")
    value = what == "table" and _is_value(own)
    known = {
        "about": f"Made by `tercet init` for {json.dumps(own.data.name)}",  # a name of two lines is one
        "name": _name(name),
        "path": _place(own.data, project),
        "target": json.dumps(own.target),
        "text": json.dumps(own.text or "text"),
        "task": "regression" if value else "classification",
        "drop": "" if value else ", max_quality_drop: 0.02",
        "calibration": max(1, min(MOST_CALIBRATION, sum(1 for _ in _examples(own.data, what)) // 2)),
        "length": _length(own) if what == "texts" else "",
        "size": _size(own.data) if what == "images" else "",
        "model": f"  family: file\n  source: {_place(trained(own.model), project)}" if own.model else MODELS[what],
        "epochs": 0 if own.model else EPOCHS[what],
        "devices": f"[{', '.join(known_devices(own.devices or usual_devices(own)))}]",
    }
    return Template(template).substitute(known)


def _with_target(own: Own, what: Kind) -> Own:
    """The same with the target that it has unless told otherwise."""
    if own.data.is_dir() or what == "images":
        return replace(own, target=own.target or "label")
    there = columns(own.data)
    target = own.target or ("label" if what == "texts" else None)
    if what == "texts":
        column("--text", own.text or "text", there)
    return replace(own, target=column("--target", target, there))


def _rows(data: Path) -> Iterator[Any]:
    """Rows of a file by their columns, or whatever lines of JSON say.

    Raises:
        DataError: it cannot be read as such.
    """
    if data.suffix not in READ or not data.is_file():
        return
    try:
        with data.open(encoding="utf-8-sig", newline="") as file:
            yield from _of_table(file) if data.suffix == ".csv" else map(json.loads, filter(str.strip, file))
    except UnicodeDecodeError as error:
        raise not_utf8(str(data), error) from None
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{data}: cannot be read: {error}") from None


def _of_table(file: TextIO) -> Iterator[dict[str, object]]:
    """As preparation reads it, which also tells what is wrong with a row."""
    rows = tables.reader(file)
    header = [name.strip() for name in next(rows, [])]
    return (dict(zip(header, row, strict=False)) for row in rows if len(row) > 1 or "".join(row).strip())


def _is_value(own: Own) -> bool:
    """Whether the target of a table is a number and no class.

    Raises:
        DataError: it is one that is not written as numbers are expected.
    """
    found = {str(row.get(str(own.target)) or "").strip() for row in islice(_rows(own.data), LOOKED_AT)} - {""}
    try:
        return len({float(each) for each in found}) > CLASSES
    except ValueError:
        habit = table.other_habit(sorted(found)) if len(found) > CLASSES else None
    if habit:
        raise DataError(f"--target: {own.data}: column {own.target!r}: {habit}; write them so")
    return False


def _has_categories(own: Own) -> bool:
    """Whether a network is given words out of a table, which it embeds."""
    found = list(islice(_rows(own.data), LOOKED_AT))
    names = [name for name in dict.fromkeys(chain.from_iterable(found)) if name and name != own.target]
    cells = ([str(row.get(name, "")).strip() for row in found] for name in names)
    known = ([cell for cell in column if cell.lower() not in tables.MISSING] for column in cells)
    return any(table.kind_of(column) == "category" for column in known)


def _examples(data: Path, what: Kind) -> Iterator[Any]:
    """Those that preparation parts into training and the rest, as far as is looked: files, or rows by their columns."""
    train = [file for suffix in READ if (file := data / f"train{suffix}").is_file()]
    found: Iterator[Any]
    if what == "images" and not data.is_dir():
        names = [path.relative_to(data) for path, _ in islice(_images(data), LOOKED_AT)]
        found = iter([name for name in names if "train" in name.parts[:2]] or names)  # one folder may be around all
    elif not data.is_dir():
        found = _rows(data)
    elif what == "texts" and train:
        found = _rows(train[0])
    else:
        root = data / "train" if (data / "train").is_dir() else data
        found = (path for path in _files(root) if _is_example(path, what))
    return islice(found, LOOKED_AT)


def _length(own: Own) -> int:
    """Words that are read of a text: as many as nine of ten texts have, which are looked at."""
    key = own.text or "text"
    found = (
        each.read_text(encoding="utf-8", errors="replace") if isinstance(each, Path) else str(each.get(key) or "")
        for each in _examples(own.data, "texts")
        if isinstance(each, Path | dict)
    )
    lengths = sorted(len(texts.tokens(text)) for text in found) or [0]
    return max(LENGTHS[0], min(LENGTHS[1], lengths[len(lengths) * 9 // 10]))


def _is_example(path: Path, what: Kind) -> bool:
    return is_image(path) if what == "images" else path.suffix.lower() == labelled.SUFFIX


def _files(data: Path) -> Iterator[Path]:
    """Those of a folder that preparation looks at."""
    return (path for path in below(data) if not any(name.startswith(".") for name in path.relative_to(data).parts))


def _images(data: Path) -> Iterator[tuple[Path, Path | BytesIO]]:
    """Those of a folder or of an archive, each with what it is read from."""
    if data.is_dir():
        return ((path, path) for path in _files(data) if is_image(path))
    return ((path, BytesIO(content)) for path, content in trees.contents(data, is_image))


def _size(data: Path) -> str:
    """The lines that have images resized: none where all are small and of one size."""
    from PIL import Image

    sizes = set()
    for path, content in islice(_images(data), LOOKED_AT):
        try:
            with Image.open(content) as image:
                sizes.add(image.size)
        except OSError as error:
            raise DataError(f"{path}: {error}; correct or delete the file") from None
    small = len(sizes) == 1 and max(next(iter(sizes))) <= SIDE
    return "" if small else f"  height: {SIDE}\n  width: {SIDE}\n"


def _place(path: Path, project: Path) -> str:
    """How params.yaml names a file: from the project where it lies within, else by its whole path."""
    whole, home = path.resolve(), project.resolve()
    return json.dumps(str(whole.relative_to(home) if whole.is_relative_to(home) else whole), ensure_ascii=False)


def usual_devices(own: Own) -> Sequence[str]:
    """Where such data are measured unless told otherwise.

    Raises:
        DataError: they are nothing that is known.
    """
    what = kind(own)
    return EMBEDDED if what == "texts" or (what == "table" and _has_categories(own)) else DEVICES


def known_devices(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if all are in the catalog.

    Raises:
        WordsError: one is not, with a near match and all that are.
    """
    for name in names:
        if name not in catalog.names():
            raise WordsError(f"--device: received {name!r}; {suggest(name, catalog.names())}")
    return tuple(names)


def _name(folder: str) -> str:
    """A name that a workload may have, made of a folder's."""
    return f"own-{re.sub(r'[^a-z0-9]+', '-', folder.lower()).strip('-')}".strip("-")[:64]
