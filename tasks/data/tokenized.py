"""A text as the tokens of a tokenizer that a checkpoint brings: those that its model knows."""

import json
import re
from collections.abc import Container, Iterator
from itertools import takewhile
from typing import Any

import numpy as np

from tasks.errors import DataError
from tasks.examples import Array, texts
from tasks.examples.tokens import smallest
from tasks.packages import located

CUT = re.compile(r"(?<=\S\n)(?=\S)")  # where what a tokenizer makes of both sides is what it makes of the whole
PIECE = 2**20  # characters that are tokenized together: what is told of each token takes a hundred bytes
SPACE = "\u2581"  # of SentencePiece
SHOWN = 20  # bytes of what is changed
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

    path = located(source)
    maker = tokenizer.load(path)
    words, about = tokenizer.words(maker, path), json.loads(maker.to_str())
    bytewise = '"ByteLevel"' in json.dumps(about["decoder"])
    meant = _meanings(words, maker.get_added_tokens_decoder(), bytewise=bytewise)
    kind = smallest(len(words))
    found = [np.zeros(0, kind)]
    for piece in _pieces(text):
        ids = maker.encode(piece, add_special_tokens=False).ids
        _hold_against(piece.encode(), b"".join([meant[number] for number in ids]), source, name)
        found.append(np.array(ids, kind))
    return np.concatenate(found), words, np.array([len(each) for each in meant], np.uint16), about


def _hold_against(read: bytes, told: bytes, source: str, name: str) -> None:
    """Look whether the tokens of a piece stand for it to the byte; some tokenizers put a space before it.

    Raises:
        DataError: they do not.
    """
    if told in (read, b" " + read):
        return
    known = told[1:] if told[:1] == b" " != read[:1] else told
    at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(read, known, strict=False)))
    before, after = (each[at : at + SHOWN].decode(errors="replace") for each in (read, known))
    raise DataError(
        f"{name}: {len(read)} bytes of text become tokens of {len(told)} by {source}: it leaves out or changes what it "
        f"reads, first {before!r} to {after!r}, so that no bits per byte can be told; take a tokenizer that keeps its "
        "text"
    )


def _pieces(text: str) -> Iterator[str]:
    begin = 0
    while begin < len(text):
        cut = CUT.search(text, begin + PIECE) if begin + PIECE < len(text) else None
        end = cut.start() if cut else len(text)
        yield text[begin:end]
        begin = end


def _meanings(words: list[str], added: Container[int], *, bytewise: bool) -> list[bytes]:
    """What of a text each token stands for; those that were `added` to bytewise ones are found in it as they are."""
    signs = {sign: byte for byte, sign in enumerate(texts.signs())} if bytewise else {}
    return [
        word.encode() if bytewise and number in added else _meaning(word, signs) for number, word in enumerate(words)
    ]


def _meaning(word: str, signs: dict[str, int]) -> bytes:
    if signs:  # each of its characters stands for a byte; a word with another is one as it is, to `tokenizers` too
        return bytes(signs[sign] for sign in word) if all(sign in signs for sign in word) else word.encode()
    return bytes.fromhex(word[3:5]) if BYTE.fullmatch(word) else word.replace(SPACE, " ").encode()
