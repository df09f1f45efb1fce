"""The tokens of a text as a tokenizer.json, which Hugging Face's `tokenizers` and LiteRT-LM read.

What preprocess.json says of an input is all that is needed: the same text becomes the same numbers by both.
"""

from typing import Any

from tasks.examples import preprocess

OTHER = "[other]"  # the character that no text of the training data has
NEVER = 0xFF  # no byte of UTF-8


def tokenizer(entry: dict[str, Any]) -> Any:
    """The `tokenizers.Tokenizer` of an input of tokens, as preprocess.json has it; None: of numbers nobody says more.

    Bytes are a BPE of 256 tokens that merges none; characters are words of one.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    if entry.get("bytes"):
        made = Tokenizer(models.BPE({sign: number for number, sign in enumerate(signs())}, []))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.decoder = decoders.ByteLevel()
        return made
    if "characters" not in entry:
        return None
    known = {character: number for number, character in enumerate(entry["characters"])}
    made = Tokenizer(models.WordLevel(known | {OTHER: len(known)}, unk_token=OTHER))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m)."), "isolated")  # Oniguruma's m: a dot is a new line too
    made.decoder = decoders.Fuse()
    return made


def end(entry: dict[str, Any]) -> int:
    """A token that no text has, and that may so end one: runtimes ask for one that does."""
    return NEVER if entry.get("bytes") else len(entry["characters"])


def signs() -> list[str]:
    """The printable character that stands for each byte in a byte-level BPE, by the table that GPT-2 has it from."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(preprocess.BYTES) if byte not in shown]
    return [chr(byte if byte in shown else preprocess.BYTES + hidden.index(byte)) for byte in range(preprocess.BYTES)]
