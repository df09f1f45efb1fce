"""A text as the tokens of a tokenizer that a checkpoint brings: those that its model knows."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array
from tasks.examples.tokens import smallest
from tasks.packages import located

CUT = re.compile(r"(?<=\S\n)(?=\S)")  # where what a tokenizer makes of both sides is what it makes of the whole
PIECE = 2**20  # characters that are tokenized together: what is told of each token takes a hundred bytes
SPACE = "\u2581"  # of SentencePiece
BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # likewise


def check(source: str) -> None:
    """Look whether the tokenizer is there; whether it is whole is told when it is read.

    Raises:
        DataError: it is not.
    """
    if not located(source).exists():
        raise DataError(f"prepare.tokenizer: {source}: no such file or folder")


def tokens(text: str, source: str, name: str) -> tuple[Array, list[str], Array, dict[str, Any]]:
    """The tokens of a text, unsigned integers [n]; their words, the bytes each stands for, and the tokenizer's JSON.

    Raises:
        DataError: the text cannot be told from its tokens.
        ModelError: the tokenizer is not there, or damaged.
    """
    from tasks.checkpoints import tokenizer

    maker = tokenizer.load(located(source))
    words = tokenizer.words(maker)
    kind = smallest(len(words))
    found = [np.array(maker.encode(piece, add_special_tokens=False).ids, kind) for piece in _pieces(text)]
    ids = np.concatenate([np.zeros(0, kind), *found])
    about = json.loads(maker.to_str())
    bytewise = '"ByteLevel"' in json.dumps(about["decoder"])
    sizes = np.array([_size(word, bytewise=bytewise) for word in words], np.uint16)
    told, whole = int(sizes[ids].sum(dtype=np.int64)), len(text.encode())
    if abs(told - whole) > len(found):  # some put a space before each piece
        raise DataError(
            f"{name}: {whole} bytes of text become tokens of {told} by {source}: it leaves out or changes what it "
            "reads, so that no bits per byte can be told; take a tokenizer that keeps its text"
        )
    return ids, words, sizes, about


def _pieces(text: str) -> Iterator[str]:
    begin = 0
    while begin < len(text):
        cut = CUT.search(text, begin + PIECE) if begin + PIECE < len(text) else None
        end = cut.start() if cut else len(text)
        yield text[begin:end]
        begin = end


def _size(word: str, *, bytewise: bool) -> int:
    """The bytes of a text that a token stands for."""
    if bytewise:  # each of its characters stands for a byte
        return len(word)
    return 1 if BYTE.fullmatch(word) else len(word.replace(SPACE, " ").encode())
