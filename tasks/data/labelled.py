"""Texts with a label, as they lie in files: rows of CSV, lines of JSON, or files of their own."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tasks.data import cells, labels, sizes
from tasks.errors import DataError, not_utf8, suggest
from tasks.files import below

LONGEST = 2**20  # bytes of a text, or of a line of JSON
SUFFIX = ".txt"
log = logging.getLogger(__name__)


class Keys(NamedTuple):
    """The columns of a table, or the keys of an object."""

    text: str
    label: str
    group: str | None


@dataclass(frozen=True)
class Row:
    """One text."""

    where: str  # for messages: the file, and the line in it
    text: str
    label: str
    group: str = ""


def of_csv(path: Path, keys: Keys) -> list[Row]:
    """The rows of a CSV file with a header.

    Raises:
        DataError: it is broken, lacks a column, or a text, a label or a group is empty.
    """
    table = cells.read(path)
    columns = [_column(path, table.columns, name) for name in keys if name is not None]
    places = [f"{path}:{line}" for line in table.lines]
    return [_named(where, keys, *cells) for where, *cells in zip(places, *columns, strict=True)]


def of_json(path: Path, keys: Keys) -> list[Row]:
    """The lines of a file, each an object of JSON; empty lines are passed over.

    Raises:
        DataError: a line is too long, no object, lacks a key, or says something that is no text, no label or no group.
    """
    sizes.check_text(path)
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [_of_line(f"{path}:{number}", line, keys) for number, line in enumerate(lines, start=1) if line.strip()]


def of_folder(folder: Path, *, grouped: bool) -> list[Row]:
    """The `.txt` files in a folder for each class, one text each, in the order of their names.

    What is hidden is not looked at; other files are left out, with a warning.

    Args:
        folder: holds those of the classes.
        grouped: whether the folder within that of the class is the group of its texts.

    Raises:
        DataError: a file is no text, is too long, or is in no class or of no group, or all are too large together.
    """
    found: list[tuple[Path, tuple[str, ...]]] = []
    others = []
    for path in below(folder):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts):
            continue
        if path.suffix.lower() != SUFFIX:
            others.append(path)
        elif len(parts) == 1:
            raise DataError(f"{path}: it lies in no class: texts belong into a folder of their class's name")
        else:
            found.append((path, parts))
    if others:
        log.warning("%s: %d files are no %s and are left out, the first is %s", folder, len(others), SUFFIX, others[0])
    if found:
        sizes.check_text(folder, *(path for path, _ in found))
    return [_of_file(path, parts, grouped=grouped) for path, parts in found]


def _column(path: Path, columns: Mapping[str, list[str]], name: str) -> list[str]:
    if name not in columns:
        raise DataError(f"{path}: no column is named {name!r}; {suggest(name, columns)}")
    return columns[name]


def _of_line(where: str, line: bytes, keys: Keys) -> Row:
    if len(line) > LONGEST:
        raise DataError(f"{where}: a line of at most {LONGEST:,} bytes expected; received {len(line):,}; cut the text")
    try:
        found = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise not_utf8(where, error) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: an object of JSON expected: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{where}: an object of JSON expected; received {type(found).__name__}")
    return _named(where, keys, *(_value(where, found, name) for name in keys if name is not None))


def _value(where: str, found: dict[str, Any], name: str) -> str:
    """A text, or a whole number or a truth value as one."""
    if name not in found:
        raise DataError(f"{where}: no key is named {name!r}; {suggest(name, found)}")
    value = found[name]
    if not isinstance(value, str | int):
        raise DataError(f"{where}: {name!r}: a text or a whole number expected; received {json.dumps(value)[:40]}")
    return value if isinstance(value, str) else json.dumps(value)


def _of_file(path: Path, parts: tuple[str, ...], *, grouped: bool) -> Row:
    try:
        content = path.read_bytes()
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; correct or delete it") from None
    except UnicodeDecodeError as error:
        raise not_utf8(str(path), error) from None
    if len(content) > LONGEST:
        raise DataError(f"{path}: a text of at most {LONGEST:,} bytes expected; received {len(content):,}; cut it")
    if grouped and len(parts) < 3:
        told = "split by group needs a folder for each group (an author, a document) within those of the classes"
        raise DataError(f"{path}: it is of no group; {told}, such as {path.parent / 'document-1' / path.name}")
    return _row(str(path), Keys("text", "label", None), text, parts[0], parts[1] if grouped else "")


def _named(where: str, keys: Keys, *cells: str) -> Row:
    """A text whose class and group the row itself names."""
    found = _row(where, keys, *cells)
    labels.check(where, keys.label, found.label)
    if keys.group is not None:
        labels.check(where, keys.group, found.group)
    return found


def _row(where: str, keys: Keys, text: str, label: str, group: str = "") -> Row:
    """A text that is one: not empty, and no bytes of something else."""
    text, label = text.strip(), label.strip()
    for name, value in ((keys.text, text), (keys.label, label)):
        if not value:
            raise DataError(f"{where}: the {name} is empty; correct or delete it")
    if "\0" in text:
        raise DataError(f"{where}: a text expected; received one with a zero byte, as files have that are none")
    if bad := next((sign for sign in text + label if "\ud800" <= sign <= "\udfff"), None):
        raise DataError(f"{where}: a text expected; received \\u{ord(bad):04x}, half a character")
    return Row(where, text, label, group.strip())
