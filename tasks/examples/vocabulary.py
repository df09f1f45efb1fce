"""The tokens of a text as a tokenizer.json, which Hugging Face's `tokenizers` and LiteRT-LM read.

What preprocess.json says of an input is all that is needed: the same text becomes the same numbers by both.
"""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from tasks.examples import Array, texts

OTHER = "[other]"  # the character that no text of the training data has
NEVER = 0xFF  # no byte of UTF-8
LONGEST = 64  # bytes of a token that is learnt
PIECE = 1 << 16  # characters that are taken in at once, and the rest of their last line


def tokenizer(entry: dict[str, Any]) -> Any:
    """The `tokenizers.Tokenizer` of an input of tokens, as preprocess.json has it; None: of numbers nobody says more.

    Bytes are a BPE of 256 tokens that merges none; characters are words of one.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    if entry.get("bytes"):
        made = Tokenizer(models.BPE({sign: number for number, sign in enumerate(texts.signs())}, []))
        made.pre_tokenizer, made.decoder = _bytewise(), decoders.ByteLevel()
        return made
    if "merges" in entry:
        return _merging(entry["merges"])
    if "characters" not in entry:
        return None
    known = {character: number for number, character in enumerate(entry["characters"])}
    made = Tokenizer(models.WordLevel(known | {OTHER: len(known)}, unk_token=OTHER))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m)."), "isolated")  # Oniguruma's m: a dot is a new line too
    made.decoder = decoders.Fuse()
    return made


def maker(entry: dict[str, Any]) -> Any:
    """The `tokenizers.Tokenizer` that the data's text was read by: its own, or a checkpoint's; None: it was no text."""
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(entry["tokenizer"])) if "tokenizer" in entry else tokenizer(entry)


def end(entry: dict[str, Any]) -> int:
    """A token that no text has, and that may so end one: runtimes ask for one that does."""
    if "merges" in entry:
        return sorted(texts.signs()).index(texts.signs()[NEVER])
    return NEVER if entry.get("bytes") else len(entry["characters"])


def behind(words: Any, before: list[int], tokens: list[int]) -> str:
    """The text of tokens that stand behind others: decoders such as Llama 2's leave out a space that a text begins by.

    Args:
        words: a `tokenizers.Tokenizer`.
        before: the tokens before them.
        tokens: whose text is told, special ones with it.
    """
    parts = (before, [*before, *tokens], tokens)
    first, both, alone = (str(words.decode(part, skip_special_tokens=False)) for part in parts)
    return both[len(first) :] if both.startswith(first) else alone  # a character may be begun before and end behind


def learn(text: str, size: int) -> list[list[str]]:
    """The merges of a byte-level BPE of so many tokens at most: what stands side by side most often becomes one.

    The same text gives the same merges.
    """
    from tokenizers import trainers

    made = _merging([])
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=texts.signs(),
        max_token_length=LONGEST,
        min_frequency=2,
        show_progress=False,
    )
    made.train_from_iterator(_pieces(text), trainer)
    return [list(pair) for pair in json.loads(made.to_str())["model"]["merges"]]


def numbers(text: str, merges: list[list[str]]) -> Array:
    """The tokens of a text, as small as they may be; little more than them is in memory at a time."""
    made, kind = _merging(merges), np.min_scalar_type(len(texts.words(merges)) - 1)
    return np.concatenate([np.array(made.encode(piece).ids, kind) for piece in _pieces(text)])


def _merging(merges: list[list[str]]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    known = {word: number for number, word in enumerate(texts.words(merges))}
    made = Tokenizer(models.BPE(known, [(one, other) for one, other in merges]))
    parted = pre_tokenizers.Split(Regex(texts.PARTS), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence([parted, _bytewise()])
    made.decoder = decoders.ByteLevel()
    return made


def _bytewise() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def _pieces(text: str) -> Iterator[str]:
    """Whole lines of a text, which become the same tokens as in it: no empty line stands between two pieces."""
    start = 0
    while start < len(text):
        stop = text.find("\n", start + PIECE) + 1 or len(text)
        while stop < len(text) and text[stop] == "\n":
            stop += 1
        yield text[start:stop]
        start = stop
