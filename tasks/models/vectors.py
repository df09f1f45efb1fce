"""Words' vectors from a file: what an embedding begins as, so that a few thousand texts need not teach every word.

One word a line, with its numbers behind it, parted by spaces: the form of GloVe (Pennington et al., "GloVe: Global
Vectors for Word Representation", 2014). fastText's, and word2vec's as text, have a line before them that says how many
words and numbers there are. UTF-8; a name that ends in `.gz` is of a file packed by gzip.
"""

import gzip
import logging
import re
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError, ModelError
from tasks.examples import texts

LONGEST = 2**20  # bytes of a line
LARGEST = float(np.finfo(np.float32).max)
HOW_MANY = re.compile(rb"\s*\d+\s+\d+\s*")  # the line before fastText's words
FORM = "a word and its numbers a line, parted by spaces, as GloVe's and fastText's files have them"
log = logging.getLogger(__name__)


def beginning(path: str, words: tuple[str, ...], begun: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an embedding begins as: a word's vector where the file has the word, and of all others random numbers.

    Args:
        path: the file.
        words: of the vocabulary, in the order of their numbers.
        begun: float32 [words, width], random. They are brought to the deviation of the vectors found (Kim,
            "Convolutional Neural Networks for Sentence Classification", 2014). Padding and unknown words are 0, as a
            word is that was dropped: where training knows all of its words, the unknown one's row is never trained, and
            a random one as large as a word's says something that nothing taught it.

    Raises:
        DataError: the file is not as it should be, or has none of the words.
        ModelError: the data are no words, or the file has another width.
    """
    if not words:
        raise ModelError(
            "model.vectors: a file of words is for texts with a class (sources docstrings, sentences and tsv); "
            "the data has no words"
        )
    found = read(Path(path), set(words), begun.shape[1])
    if not found:
        raise DataError(f"model.vectors: {path}: none of the {len(words):,} words of the data is in it")
    log.info("vectors: %s of %s words begin as in %s", f"{len(found):,}", f"{len(words):,}", path)
    deviation = np.std(list(found.values()))
    made: NDArray[np.float32] = (begun * (deviation / begun.std())).astype(np.float32)
    for place, word in enumerate(words):
        made[place] = 0 if word in texts.RESERVED else found.get(word, made[place])
    return made


def read(path: Path, wanted: set[str], width: int) -> dict[str, NDArray[np.float32]]:
    """The vectors of those of the words that the file has: float32 [width]. Of a word that is there twice, the first.

    Raises:
        DataError: there is no such file, or it is no file of vectors.
        ModelError: its vectors are of another width.
    """
    try:
        with _opened(path) as file:
            return _found(path, file, {word.encode(): word for word in wanted}, width)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"model.vectors: {path}: not packed by gzip, or cut off ({error})") from None
    except OSError as error:
        raise DataError(f"model.vectors: {path}: {error.strerror or error}") from None


def _opened(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _found(path: Path, file: BufferedIOBase, wanted: dict[bytes, str], width: int) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    looked = False
    for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), start=1):
        where = f"model.vectors: {path}:{number}"
        if number == 1 and HOW_MANY.fullmatch(line):
            continue
        if not looked:
            _check_width(where, line, width)
            looked = True
        word, *_ = line.split(None, 1) or [b""]
        known = wanted.get(word)
        if known is None or known in found:
            continue
        name, *numbers = line.rsplit(None, width)
        if name.strip() == word:  # a few of GloVe's words have spaces, and none of the data's has that begins so
            found[known] = _vector(f"{where}: {known!r}", numbers, width)
    return found


def _check_width(where: str, line: bytes, width: int) -> None:
    """Look at the first word's line, whoever wants it, so that a file of another kind or width is told as that."""
    fields = line.split()
    if len(line) == LONGEST or len(fields) < 2 or not _finite(fields[1:]):
        raise DataError(f"{where}: {FORM} expected; received {line[:40]!r}")
    if len(fields) - 1 != width:
        raise ModelError(
            f"{where}: {len(fields) - 1} numbers of each word; the embedding has {width}: set `embedding` (of an "
            f"encoder `width`) to {len(fields) - 1}, or name a file of {width}"
        )


def _vector(where: str, fields: list[bytes], width: int) -> NDArray[np.float32]:
    if len(fields) != width or not _finite(fields):
        raise DataError(f"{where}: {width} finite numbers expected; received {b' '.join(fields)[:40]!r}")
    return np.array([float(field) for field in fields], np.float32)


def _finite(fields: list[bytes]) -> bool:
    try:
        return all(abs(float(field)) <= LARGEST for field in fields)
    except ValueError:  # no number
        return False
