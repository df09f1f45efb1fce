"""A text, in a file or in the `.txt` files of a folder: the token that follows is to be told from those before it.

That is the one behind a window or, where the task is language, each of its tokens from those before it. Tokens are
bytes, the characters of UTF-8, pieces of words (BPE) that are learnt from the training split's part of the text, or
what a checkpoint's tokenizer makes of it. A window begins where the one before it ends, and the last part of the text
judges the first. The files of a folder stand one behind the other, in the order of their names.
"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from tasks.data import sizes as limits
from tasks.data import tokenized
from tasks.errors import DataError, not_utf8
from tasks.examples import Array, texts, vocabulary
from tasks.examples.dataset import LABEL, TEXT_BYTES, Source
from tasks.examples.tokens import Tokens, every_place, smallest, windows
from tasks.files import below
from tasks.members import DataSource
from tasks.params import Prepare

INPUT = "text"


def check(params: Prepare) -> None:
    """Look whether the data are there.

    Raises:
        DataError: they are not, or the tokenizer is not.
    """
    _files(Path(str(params.path)))
    if params.tokenizer:
        tokenized.check(params.tokenizer)


def load(params: Prepare) -> Source:
    """Read the text at `params.path`; its classes are the tokens that there may be.

    Raises:
        DataError: there is none, it is no UTF-8, or it is too short for a window.
    """
    path = Path(str(params.path))
    files = _files(path)
    limits.check_text(path, *files)
    return windows_of(b"".join(file.read_bytes() for file in files), path.name, params)


def windows_of(content: bytes, name: str, params: Prepare) -> Source:
    """The windows of a text that is called so.

    Raises:
        DataError: it is no UTF-8, or too short for a window.
    """
    ids, classes = np.frombuffer(content, np.uint8), [chr(number) for number in range(texts.BYTES)]
    sizes, tokenizer = np.ones(texts.BYTES, np.uint8), None
    merges: list[list[str]] = []
    if params.tokens == "characters":
        ids, classes = _characters(content, name)
        sizes = np.array([len(each.encode()) for each in classes], np.uint8)
    if params.tokenizer:
        ids, classes, sizes, tokenizer = tokenized.tokens(_text(content, name), params.tokenizer, name)
    if params.tokens == "bpe":
        text, merges = _text(content, name), _learnt(content, name, params)
        ids, classes = vocabulary.numbers(text, merges), texts.words(merges)
        sizes = np.array([len(each) for each in classes], np.uint8)  # a sign stands for a byte
    if len(ids) <= params.length:
        raise DataError(f"{name}: more than {params.length} tokens, prepare.length, expected; received {len(ids)}")
    if params.task == "language":
        examples = every_place(INPUT, ids, params.length, LABEL, {TEXT_BYTES: sizes})
    else:
        examples = windows(INPUT, ids, params.length, LABEL)
    if params.tokens == "bpe":
        examples = _parted(examples, sizes, len(content), params)
    read = {name: sha256(content).hexdigest()}
    return Source({INPUT: "tokens"}, examples, None, tuple(classes), read, tokenizer=tokenizer, merges=merges)


def _cuts(size: int, params: Prepare) -> tuple[int, int]:
    """Where validation and test begin in a text of so many bytes."""
    test = round(size * (1 - params.test))
    return round(test * (1 - params.validation)), test


def _learnt(content: bytes, name: str, params: Prepare) -> list[list[str]]:
    """The merges by what stands before validation and test."""
    training = content[: _cuts(len(content), params)[0]].decode("utf-8", "ignore")  # it may end within a character
    merges = vocabulary.learn(training, params.vocabulary)
    if (found := len(texts.words(merges))) < params.vocabulary:
        raise DataError(f"{name}: prepare.vocabulary: no more than {found} tokens can be learnt from so short a text")
    return merges


def _parted(examples: Tokens, sizes: Array, size: int, params: Prepare) -> Tokens:
    """The windows parted by the byte that each begins at, so that training's hold all that was learnt from.

    Tokens are of different lengths: their count does not tell.
    """
    begins = np.add.reduceat(sizes[examples.ids], examples.starts, dtype=np.int64)
    begins = np.concatenate([[0], np.cumsum(begins)[:-1]])
    return replace(examples, parts=np.searchsorted(_cuts(size, params), begins, side="right").astype(np.uint8))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = [each for each in below(path) if each.suffix == ".txt"] if path.is_dir() else []
    if not found:
        raise DataError(f"{path}: no text; prepare.path names a file, or a folder with .txt files")
    return found


def _characters(content: bytes, name: str) -> tuple[Array, list[str]]:
    """The numbers of the characters, as small as they may be, and the characters in the order of their numbers."""
    points = texts.code_points(_text(content, name))
    known, numbers = np.unique(points, return_inverse=True)
    return numbers.astype(smallest(len(known))), [chr(point) for point in known]


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(name, error) from None


SOURCE = DataSource(schema=Prepare, check=check, load=load)
