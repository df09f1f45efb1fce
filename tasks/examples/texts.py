"""From texts to numbers: by words, characters, bytes or pieces of words. Bundles ship this file: stdlib and numpy only.

A text's own tokenizer needs the package `tokenizers`, for such a text alone. Errors are ValueErrors.
"""

import json
import re
from itertools import pairwise
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

BYTES = 256
PADDING, UNKNOWN = 0, 1  # token numbers
RESERVED = ("[padding]", "[unknown]")  # no token looks like these: a bracket is a token of its own
# Thai, Lao, Burmese, Khmer, kana and Chinese: no space is between words, so each of their signs is a token
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
# parts of words that Python does not take for such: accents that no letter has as one sign, the points of Hebrew and
# Arabic, the vowels of India's scripts
MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u0900-\u0963\u0966-\u0dff"
)
WORD = f"(?:[^\\W{UNSPACED}]+|[{MARKS}]+)+"
SIGN = f"[{UNSPACED}][\u3099\u309a]?"  # か and a mark that makes が of it
TOKEN = re.compile(rf"{SIGN}|'?{WORD}(?:'{WORD})*|[^\w\s]")  # don't, 's and single signs
LONGEST = 100  # signs of a word; to put accents in order takes the square of their number


# what a text is parted into before pairs of bytes are merged: lines' ends, words, numbers and signs, each with a space
# before it, and blanks. The whole line of a text so is parted as in the text. Python and Oniguruma read it alike.
PARTS = (
    r"\n+| ?[^\x00-@\[-`{-\x7f]+| ?[0-9]+| ?[!-/:-@\[-`{-~]+"
    r"|[\x00-\x09\x0b-\x20\x7f]+(?![^\x00-\x20\x7f])|[\x00-\x20\x7f]"
)
SHOWN = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that GPT-2's table shows as they are


def tokens(text: str) -> list[str]:
    """The lower-case words and signs of a text, in order; é is one, as a sign of its own or as e and an accent."""
    found = TOKEN.findall(text.lower())
    return found if text.isascii() else [normalize("NFC", each) if len(each) <= LONGEST else each for each in found]


def bigrams(found: list[str]) -> list[str]:
    """Each two neighbours of a text's tokens as one token, which has a space, as no other has.

    Joulin et al., "Bag of Tricks for Efficient Text Classification" (2016).
    """
    return list(map(" ".join, pairwise(found)))


def by_words(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.int32]:
    """The numbers of each text's words and signs, int32 [n, length]: the first `length`, then padding.

    With `bigrams` those of a text's bigrams that have a number follow its tokens.

    Raises:
        ValueError: they are no texts, str [n].
    """
    if raw.dtype.kind not in "UO" or raw.ndim != 1 or not all(isinstance(text, str) for text in raw):
        raise ValueError(f"texts of str [n] expected; received {raw.dtype} {list(raw.shape)}")
    number = {token: index for index, token in enumerate(spec["vocabulary"])}
    ready = np.full((len(raw), spec["length"]), PADDING, np.int32)
    for row, text in zip(ready, raw, strict=True):
        words = tokens(str(text))
        found = [number.get(token, UNKNOWN) for token in words]
        if spec.get("bigrams"):
            found += [number[pair] for pair in bigrams(words) if pair in number]
        row[: len(found)] = found[: spec["length"]]
    return ready


def code_points(text: str) -> NDArray[np.uint32]:
    """The numbers of a text's characters."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def signs() -> list[str]:
    """The printable character that stands for each byte in a byte-level BPE: Radford et al., 2019 (GPT-2)."""
    hidden = [byte for byte in range(BYTES) if byte not in SHOWN]
    return [chr(byte if byte in SHOWN else BYTES + hidden.index(byte)) for byte in range(BYTES)]


def words(merges: list[list[str]]) -> list[str]:
    """The tokens of a byte-level BPE in the order of their numbers: single bytes, then what each merge makes."""
    return list(dict.fromkeys([*sorted(signs()), *map("".join, merges)]))


def pairs(text: str, merges: list[list[str]]) -> list[int]:
    """The tokens of a text by byte-level BPE: of two neighbours those first that were merged first.

    Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016).
    """
    sign, rank = signs(), {tuple(pair): place for place, pair in enumerate(merges)}
    number = {word: place for place, word in enumerate(words(merges))}
    found: list[int] = []
    for part in re.findall(PARTS, text):
        row = [sign[byte] for byte in part.encode()]
        while len(row) > 1:
            best = min(pairwise(row), key=lambda pair: rank.get(pair, len(rank)))
            if best not in rank:
                break
            place = 0
            while place < len(row) - 1:
                if (row[place], row[place + 1]) == best:
                    row[place : place + 2] = ["".join(best)]
                place += 1
        found += [number[word] for word in row]
    return found


def last(spec: dict[str, Any], raw: NDArray[Any]) -> NDArray[np.int64]:
    """The last tokens of each text, int64 [n, length]; in front of a short one stand spaces.

    Raises:
        ValueError: a text is empty.
    """
    (length,) = spec["shape"]
    if empty := [place for place, text in enumerate(raw) if not str(text)]:
        raise ValueError(f"text {empty[0] + 1} of {len(raw)} is empty; what follows is told of one token at least")
    if "tokenizer" in spec:
        return _by_tokenizer(spec["tokenizer"], raw, length)
    if "merges" in spec:
        (space,) = pairs(" ", spec["merges"])
        rows = [pairs(str(text), spec["merges"])[-length:] for text in raw]
        return np.array([[space] * (length - len(row)) + row for row in rows], np.int64).reshape(-1, length)
    texts = [str(text).rjust(length)[-length:] for text in raw]
    if "characters" not in spec:
        return np.array([list(text.encode()[-length:]) for text in texts], np.int64).reshape(-1, length)
    known = code_points(spec["characters"])
    points = np.array([code_points(text) for text in texts]).reshape(-1, length)
    place = np.minimum(np.searchsorted(known, points), len(known) - 1)
    return np.where(known[place] == points, place, len(known))


def _by_tokenizer(tokenizer: dict[str, Any], raw: NDArray[Any], length: int) -> NDArray[np.int64]:
    from tokenizers import Tokenizer

    maker = Tokenizer.from_str(json.dumps(tokenizer))
    space = maker.encode(" ", add_special_tokens=False).ids[:1]
    found = [maker.encode(str(text), add_special_tokens=False).ids[-length:] for text in raw]
    return np.array([space * (length - len(ids)) + ids for ids in found], np.int64).reshape(-1, length)
