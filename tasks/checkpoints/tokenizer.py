"""The tokenizer of a checkpoint: read, and held against the size of an embedding."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.checkpoints.tensors import read_json
from tasks.errors import ModelError

TOKENIZER, GGUF = "tokenizer.json", ".gguf"
FILES = (  # what stands beside the weights, for whoever reads or writes text with them
    TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "tokenizer.model",
    "chat_template.jinja", "added_tokens.json", "generation_config.json",
)  # fmt: skip
MOST = 1 << 22  # tokens, as entries of a list in a GGUF file: every number below the largest takes memory
log = logging.getLogger(__name__)


def load(path: Path) -> Any:
    """A `tokenizers.Tokenizer`: of a checkpoint's folder, a tokenizer.json or a GGUF file. No code in it is run.

    Raises:
        ModelError: there is none, or it is damaged.
    """
    from tokenizers import Tokenizer

    if path.suffix == GGUF and path.is_file():
        from tasks.checkpoints import gguf, gguf_tokenizer

        return gguf_tokenizer.tokenizer(gguf.Gguf(path))
    file = path / TOKENIZER if path.is_dir() else path
    if not file.is_file():
        raise ModelError(f"{file}: no such file; a {TOKENIZER}, a folder with one or a {GGUF} file is expected")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # `tokenizers` itself raises bare Exception
        raise ModelError(f"{file}: no whole tokenizer: {' '.join(str(error).split())}") from None


def words(maker: Any, path: Path) -> list[str]:
    """All tokens in the order of their numbers; a number that is none's is its own word.

    Args:
        maker: what `load` made of `path`.
        path: its name, for errors.

    Raises:
        ModelError: a token has so large a number that all below it would take the memory.
    """
    numbers = maker.get_vocab(with_added_tokens=True)
    for word, number in numbers.items():
        if number >= MOST:
            raise ModelError(f"{path}: the token {word[:40]!r} has number {number:,}; a number below {MOST:,} expected")
    return _in_order(numbers)


def known(path: Path) -> list[str] | None:
    """The `words` of a checkpoint's folder or GGUF file, however that parts a text; None: it does not say.

    Raises:
        ModelError: the tokenizer is damaged.
    """
    if path.suffix == GGUF and path.is_file():
        from tasks.checkpoints import gguf

        tokens = gguf.Gguf(path).value("tokenizer.ggml.tokens")
        if not isinstance(tokens, list):
            return None
        return _in_order({str(word): number for number, word in enumerate(tokens)})
    return words(load(path), path) if (path / TOKENIZER).exists() else None


def _in_order(numbers: dict[str, int]) -> list[str]:
    found = {number: word for word, number in numbers.items()}
    return [found.get(number, f"<{number}>") for number in range(max(found, default=-1) + 1)]


def check(folder: Path, rows: int) -> None:
    """Check that each token of the tokenizer has a row of the embedding, where there is a tokenizer.

    Rows without a token are no fault: many embeddings are made a little larger, for the hardware. They are told.

    Raises:
        ModelError: there is a token without a row, or the file is damaged.
    """
    path = folder / TOKENIZER
    if not path.exists():
        return
    size = max(_numbers(path, read_json(path)), default=-1) + 1
    if size > rows:
        raise ModelError(f"{path}: {size:,} tokens; the embedding has rows for {rows:,}: they are of different models")
    if size < rows:
        log.info("%s: %s tokens; the embedding has %s rows, some for none", path, f"{size:,}", f"{rows:,}")


def _numbers(path: Path, values: dict[str, Any]) -> Iterator[int]:
    """The number of every token."""
    model = values.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        found = list(vocabulary.values())
    elif isinstance(vocabulary, list):  # of Unigram: their places
        found = list(range(len(vocabulary)))
    else:
        raise ModelError(f"{path}: model.vocab: the tokens expected; received {type(vocabulary).__name__}")
    added = values.get("added_tokens") or []
    found += [each.get("id") for each in added if isinstance(each, dict)]
    for number in found:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ModelError(f"{path}: the number of a token expected; received {str(number)[:40]}")
        yield number
