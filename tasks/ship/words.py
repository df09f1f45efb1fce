"""How a text becomes the tokens of what is shipped, and which of these begin and end one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.checkpoints import gguf_tokenizer, tokenizer
from tasks.checkpoints.config import CONFIG
from tasks.checkpoints.gguf import Gguf
from tasks.checkpoints.tensors import read_json
from tasks.errors import UnsupportedError
from tasks.examples import vocabulary

UNKNOWN = "nobody says how a text becomes its tokens: the data are numbers, and no checkpoint has a tokenizer.json"
ENDLESS = "no checkpoint says which token of the data's tokenizer ends a text, and LiteRT-LM asks for one"
FILE = "words.json"  # of a bundle: what preprocess.json does not say of a language model's words
ENDS = ("generation_config.json", CONFIG)  # the first that names the tokens that end a text is right
SETTINGS = ("special_tokens_map.json", "tokenizer_config.json")  # of a tokenizer: what the last one says counts
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")  # what templates write by name, as transformers has it


@dataclass(frozen=True)
class Words:
    """A tokenizer, and what a runtime must know beside it."""

    tokenizer: bytes  # a tokenizer.json
    ends: tuple[int, ...]  # tokens that end a text: one at least
    begins: int | None = None  # the token that stands before every text
    chat: str | None = None  # a template of Jinja for what is said by turns
    special: Mapping[str, str] = field(default_factory=dict)  # the texts of the tokens that it may write by name


def of(inputs: dict[str, Any], source: Path | None) -> Words:
    """What the data say, else what the checkpoint does.

    Args:
        inputs: the data's, as preprocess.json has them.
        source: the checkpoint that the model comes from, a folder or a `.gguf` file; None: it comes from none.

    Raises:
        UnsupportedError: neither says it, or no token ends a text.
        ModelError: a file of the checkpoint is damaged.
    """
    (entry,) = inputs.values()
    own = vocabulary.maker(entry)
    if own is not None and "tokenizer" not in entry:
        return Words(own.to_str(pretty=False).encode(), (vocabulary.end(entry),))
    if source is None:
        raise UnsupportedError(ENDLESS if own is not None else UNKNOWN)
    return _of_gguf(source, own) if source.is_file() else _of_folder(source, own)


def told(words: Words, inputs: dict[str, Any]) -> dict[str, Any]:
    """What `words.json` says: `ends`, `begins`, `chat`, and the `tokenizer` where the data's own entry has none.

    Beside a template of a chat `special` has the texts of the tokens that it writes by name.

    Args:
        words: a model's.
        inputs: the data's, as preprocess.json has them.
    """
    (entry,) = inputs.values()
    about: dict[str, Any] = {"ends": list(words.ends), "begins": words.begins, "chat": words.chat}
    about |= {"special": dict(words.special)} if words.chat is not None else {}
    known = vocabulary.maker(entry) is not None
    return about if known else {**about, "tokenizer": json.loads(words.tokenizer)}


def _of_folder(folder: Path, own: Any) -> Words:
    """The words of the data's own tokenizer, or of the folder's where they have none."""
    path = folder / tokenizer.TOKENIZER
    if own is None and not path.exists():
        raise UnsupportedError(UNKNOWN)
    about = {
        key: value for name in SETTINGS if (folder / name).exists() for key, value in read_json(folder / name).items()
    }
    told = [read_json(folder / name).get("eos_token_id") for name in ENDS if (folder / name).exists()]
    ends = next((each for each in told if each is not None), None)
    template = folder / "chat_template.jinja"
    chat = template.read_text(encoding="utf-8") if template.exists() else _usual(about.get("chat_template"))
    made = tokenizer.load(folder) if own is None else own
    return _checked(path, made, ends if isinstance(ends, list) else [ends], chat, about)


def _of_gguf(path: Path, own: Any) -> Words:
    """Likewise; a file may say which token ends a text, and not what its tokens are."""
    file = Gguf(path)
    if own is None and file.value("tokenizer.ggml.model") is None:
        raise UnsupportedError(UNKNOWN)
    made = gguf_tokenizer.tokenizer(file) if own is None else own
    about = gguf_tokenizer.settings(file)
    return _checked(path, made, [file.value("tokenizer.ggml.eos_token_id")], about.get("chat_template"), about)


def _checked(path: Path, made: Any, ends: list[Any], chat: Any, about: Mapping[str, Any]) -> Words:
    known = tuple(int(end) for end in ends if isinstance(end, int))
    if not known:
        raise UnsupportedError(f"{path}: no token ends a text, and LiteRT-LM asks for one")
    before = made.encode("").ids  # what a tokenizer adds to nothing; LiteRT-LM's own adds none, and is told which
    begins = before[0] if before and before[0] not in known else None
    content = json.dumps(json.loads(made.to_str(pretty=False)), ensure_ascii=False).encode()
    return Words(content, known, begins, chat if isinstance(chat, str) else None, _special(about))


def _usual(chat: Any) -> Any:
    """The template of a chat; of several, a list with their names, the one that is used where none is named."""
    if not isinstance(chat, list):
        return chat
    return {each.get("name"): each.get("template") for each in chat if isinstance(each, dict)}.get("default")


def _special(about: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a tokenizer's own tokens, each of which may stand alone or with what else is said of it."""
    told = {name: about.get(name) for name in SPECIAL}
    texts = {name: each.get("content") if isinstance(each, dict) else each for name, each in told.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}
