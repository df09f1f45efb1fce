"""GGUF, the format of llama.cpp: one file with the network's sizes, its tensors, often in blocks of few bits, and a
tokenizer. It is mapped into memory; blocks become float32 when they are read.
"""  # noqa: D205

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoints import config, names
from tasks.checkpoints.names import Names
from tasks.decoder.spec import DecoderSpec, Shape
from tasks.errors import ModelError, suggest

ARCHITECTURES = {  # the kind of model of config.json, and how its tensors lie
    "llama": ("llama", replace(names.GGUF, pairs=True)),
    "qwen2": ("qwen2", names.GGUF),
    "qwen3": ("qwen3", names.GGUF),
}
KEYS = {  # of config.json, by those of a GGUF file
    "context_length": "max_position_embeddings", "embedding_length": "hidden_size", "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size", "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads", "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim", "rope.freq_base": "rope_theta",
}  # fmt: skip
MARKS = {  # tokens that begin, end and fill a text: of config.json, where transformers has its own for one left out
    "bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "padding_token_id": "pad_token_id",
}  # fmt: skip
MORE = {  # what else it may say of places and of attention; no others, for they would change what is computed
    "attention.value_length", "attention.sliding_window", "rope.dimension_count", "rope.scaling.type",
    "rope.scaling.factor", "rope.scale_linear", "rope.scaling.original_context_length", "rope.scaling.finetuned",
}  # fmt: skip
FACTORS = "rope_freqs.weight"  # what each pair's frequency is divided by
TEXTS = 1 << 22  # entries of one list at most


class Gguf:
    """The tensors of a GGUF file, and what it says of itself.

    Raises:
        ModelError: it is damaged, or promises more than it holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._reader = _bounded()(path)
            self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError, MemoryError) as error:
            told = " ".join(str(error).split())[:200]
            size = f"{path.stat().st_size:,} bytes"
            raise ModelError(f"{path}: not a whole GGUF file ({size}): {told}") from None

    def value(self, key: str, default: Any = None) -> Any:
        """What it says of a key."""
        field = self._reader.get_field(key)
        try:
            return default if field is None else field.contents()
        except (ValueError, TypeError, IndexError) as error:
            raise ModelError(f"{self.path}: {key}: cannot be read: {' '.join(str(error).split())[:100]}") from None

    def said(self) -> list[str]:
        """What it says anything of."""
        return list(self._reader.fields)

    def shapes(self) -> dict[str, Shape]:
        """What there is, by name; rows first, as elsewhere."""
        return {name: tuple(map(int, reversed(tensor.shape))) for name, tensor in self._tensors.items()}

    def read(self, name: str) -> NDArray[np.float32]:
        """A tensor, as float32.

        Raises:
            ModelError: it is in blocks of a kind that cannot be read.
        """
        from gguf.quants import dequantize

        tensor = self._tensors[name]
        try:
            found = dequantize(np.asarray(tensor.data), tensor.tensor_type)
        except NotImplementedError:
            raise ModelError(f"{self.path}: the tensor {name!r} is {tensor.tensor_type.name}, not supported") from None
        return np.asarray(found, np.float32).reshape(self.shapes()[name])


@cache
def _bounded() -> Any:
    """The reader of the package gguf, which believes each length that it reads, but for those past the file's end."""
    from gguf.gguf_reader import GGUFReader

    class Bounded(GGUFReader):  # type: ignore[misc]  # mypy does not look into the package
        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            end = int(offset) + np.dtype(dtype).itemsize * int(count)
            if not 0 <= int(offset) <= end <= len(self.data):
                raise ValueError(f"it promises {end:,} bytes at least")
            return super()._get(offset, dtype, count, override_order)

        def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
            if raw_type == ARRAY and (count := int(self._get(orig_offs + 4, np.uint64)[0])) > TEXTS:
                raise ValueError(f"a list of {count:,} entries; at most {TEXTS:,} are read")
            return super()._get_field_parts(orig_offs, raw_type)

    return Bounded


ARRAY = 9  # the number of that type of a value


def load(path: Path) -> tuple[dict[str, Any], DecoderSpec, Names, Gguf]:
    """What `load.load` makes a checkpoint of: the same as of a config.json, which is made of the file's own keys.

    Raises:
        ModelError: it is damaged, or of an architecture that is not supported.
    """
    file = Gguf(path)
    architecture = file.value("general.architecture")
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        told = suggest(str(architecture), ARCHITECTURES)
        raise ModelError(f"{path}: architecture {str(architecture)[:60]!r} is not supported of GGUF files; {told}")
    kind, stored = ARCHITECTURES[architecture]
    shapes = file.shapes()
    rows = shapes.get("token_embd.weight", (0, 0))[0]
    if not rows:
        raise ModelError(f"{path}: the tensor 'token_embd.weight' is missing")
    values = _config(file, architecture, kind, rows) | {"tie_word_embeddings": "output.weight" not in shapes}
    tokens = file.value("tokenizer.ggml.tokens")
    if isinstance(tokens, list) and len(tokens) > rows:
        raise ModelError(f"{path}: {len(tokens):,} tokens; the embedding has rows for {rows:,}")
    spec = config.spec(path, values, rows)
    return values, _with_factors(file, spec), stored, file


def _config(file: Gguf, architecture: str, kind: str, rows: int) -> dict[str, Any]:
    _refuse_more(file, architecture)
    told = {key: file.value(f"{architecture}.{key}") for key in KEYS}
    found = {KEYS[key]: _plain(value) for key, value in told.items() if value is not None}
    if file.value(f"{architecture}.expert_count"):
        raise ModelError(f"{file.path}: a mixture of experts, which is not supported")
    for key in ("attention.value_length", "rope.dimension_count"):
        value, width = file.value(f"{architecture}.{key}"), _head_width(found)
        if value is not None and value != width:
            raise ModelError(f"{file.path}: {architecture}.{key}: {value}, where a head is {width}, is not supported")
    if scaling := _scaling(file, architecture):
        found["rope_scaling"] = scaling
    if (window := file.value(f"{architecture}.attention.sliding_window")) is not None:
        raise ModelError(f"{file.path}: a sliding window ({window}) is not supported of GGUF files")
    named = [f"{kind.capitalize()}ForCausalLM"]  # the class of transformers, by which other tools tell a folder's kind
    found |= _marks(file, rows)
    return {"model_type": kind, "architectures": named, "vocab_size": rows, "hidden_act": "silu", **found}


def _marks(file: Gguf, rows: int) -> dict[str, int | None]:
    """The tokens of `MARKS`; None where the file has none, or names one that is none."""
    told = {name: file.value(f"tokenizer.ggml.{key}") for key, name in MARKS.items()}
    known = range(rows)
    return {name: number if type(number) is int and number in known else None for name, number in told.items()}


def _refuse_more(file: Gguf, architecture: str) -> None:
    """Refuse what is said of places and of attention that nothing here computes."""
    known = {f"{architecture}.{key}" for key in KEYS.keys() | MORE}
    parts = tuple(f"{architecture}.{part}." for part in ("rope", "attention"))
    if new := sorted(key for key in file.said() if key.startswith(parts) and key not in known):
        raise ModelError(f"{file.path}: {', '.join(map(repr, new))[:200]}: not supported of GGUF files")


def _scaling(file: Gguf, architecture: str) -> dict[str, Any] | None:
    """How places are scaled, as llama.cpp takes it: linearly where a factor stands alone, or by its older name."""
    factor = file.value(f"{architecture}.rope.scaling.factor", file.value(f"{architecture}.rope.scale_linear"))
    kind = file.value(f"{architecture}.rope.scaling.type", "none" if factor is None else "linear")
    return None if kind == "none" else {"rope_type": kind, "factor": _plain(factor)}


def _plain(value: Any) -> Any:
    """A float32 as the number that was meant: 1e-05, and not 9.999999747378752e-06."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _head_width(values: Mapping[str, Any]) -> int:
    heads = values.get("num_attention_heads")
    known = values.get("head_dim")
    if known is None and isinstance(heads, int) and heads > 0 and isinstance(values.get("hidden_size"), int):
        known = int(values["hidden_size"]) // heads
    return known if isinstance(known, int) else 0


def _with_factors(file: Gguf, spec: DecoderSpec) -> DecoderSpec:
    """Llama 3.1's slower frequencies are stored as factors, not as the numbers that they follow from."""
    if FACTORS not in file.shapes():
        return spec
    factors = file.read(FACTORS)
    if factors.shape != (len(spec.blocks[0].frequencies),) or not (factors > 0).all():
        raise ModelError(f"{file.path}: the tensor {FACTORS!r} is {list(factors.shape)}: one for each pair expected")
    blocks = [
        replace(block, frequencies=tuple((np.asarray(block.frequencies, np.float32) / factors).tolist()))
        for block in spec.blocks
    ]
    return replace(spec, blocks=tuple(blocks))
