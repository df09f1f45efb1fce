"""Whether a tokenizer and an embedding are of one size."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.checkpoints.tensors import read_json
from tasks.errors import ModelError

TOKENIZER = "tokenizer.json"
FILES = (  # what stands beside the weights, for whoever reads or writes text with them
    TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "tokenizer.model",
    "chat_template.jinja", "added_tokens.json", "generation_config.json",
)  # fmt: skip
log = logging.getLogger(__name__)


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
