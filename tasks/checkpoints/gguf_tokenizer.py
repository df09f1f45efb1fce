"""The tokenizer of a GGUF file as a tokenizer.json: byte-level BPE, which most models have since GPT-2."""

from typing import Any

from tasks.checkpoints.gguf import Gguf
from tasks.errors import ModelError, suggest

_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERNS = {  # by the name that llama.cpp gives to the way of parting a text; None: GPT-2's own
    "gpt-2": None,
    "smollm": None,
    "llama-bpe": rf"{_SHORT}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}",
    "qwen2": rf"{_SHORT}|{_WORDS}|\p{{N}}|{_REST}",
}
DIGITS_APART = ("smollm",)
WHOLE_FIRST = ("llama-bpe",)  # a word that is a token is not merged, and a text is begun unless the file says no
CONTROL, OWN = 3, 4  # kinds of tokens: those of the model's, and the user's


def tokenizer(file: Gguf) -> Any:
    """The `tokenizers.Tokenizer` that the file describes; `save` writes it as a tokenizer.json.

    What a name of parting means beside its pattern is as in llama.cpp (`llama_vocab::impl::load`).

    Raises:
        ModelError: it has none, one of another kind, or one that is damaged.
    """
    kind, parting = file.value("tokenizer.ggml.model"), file.value("tokenizer.ggml.pre")
    tokens, merges = file.value("tokenizer.ggml.tokens"), file.value("tokenizer.ggml.merges")
    if kind != "gpt2" or not tokens or merges is None:
        raise ModelError(
            f"{file.path}: its tokenizer is {kind!r}; only byte-level BPE ('gpt2') is read from GGUF files"
        )
    if parting is None:  # llama.cpp then parts by a rule of no model's own, and says that this spoils what is made
        raise ModelError(
            f"{file.path}: it does not say how it parts texts (tokenizer.ggml.pre); give the model's tokenizer.json"
        )
    if not isinstance(parting, str) or parting not in PATTERNS:
        told = suggest(str(parting), PATTERNS)
        raise ModelError(f"{file.path}: it parts texts by {str(parting)[:60]!r}, not supported; {told}")
    try:
        return _made(file, parting, tokens, merges)
    except Exception as error:  # `tokenizers` itself raises bare Exception
        raise ModelError(f"{file.path}: no whole tokenizer: {' '.join(str(error).split())[:200]}") from None


def _made(file: Gguf, parting: str, tokens: list[str], merges: list[str]) -> Any:
    """The tokenizer; whatever is raised tells of damage."""
    from tokenizers import AddedToken, Tokenizer, decoders, models

    pairs = [(one, other) for one, other in (merge.split(" ", 1) for merge in merges)]
    numbers = {token: number for number, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(numbers, pairs, ignore_merges=parting in WHOLE_FIRST))
    made.pre_tokenizer, made.decoder = _parted(parting), decoders.ByteLevel()
    kinds = file.value("tokenizer.ggml.token_type") or []
    special = [
        AddedToken(token, special=kind == CONTROL, normalized=False)
        for token, kind in zip(tokens, kinds, strict=False)
        if kind in (CONTROL, OWN)
    ]
    made.add_tokens(special)
    first = file.value("tokenizer.ggml.bos_token_id")
    if file.value("tokenizer.ggml.add_bos_token", parting in WHOLE_FIRST) and first is not None:
        if not 0 <= first < len(tokens):
            raise ValueError(f"{len(tokens):,} tokens, of which number {first} begins a text")
        made.post_processor = _begun(tokens[first], first)
    return made


def _parted(name: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    pattern = PATTERNS[name]
    bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    if name in DIGITS_APART:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytewise])
    if pattern is None:
        return bytewise
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytewise])


def _begun(token: str, number: int) -> Any:
    from tokenizers.processors import TemplateProcessing

    return TemplateProcessing(single=f"{token} $A", special_tokens=[(token, number)])


def settings(file: Gguf) -> dict[str, Any]:
    """What a tokenizer_config.json says: which tokens begin and end a text, and the template of a chat."""
    tokens = file.value("tokenizer.ggml.tokens")
    tokens = tokens if isinstance(tokens, list) else []
    found: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")):
        number = file.value(f"tokenizer.ggml.{key}_token_id")
        if isinstance(number, int) and 0 <= number < len(tokens):
            found[name] = tokens[number]
    if template := file.value("tokenizer.chat_template"):
        found["chat_template"] = template
    return found
