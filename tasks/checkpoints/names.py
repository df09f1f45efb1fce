"""What each kind of model calls its tensors, which parts of a decoder they hold, and how."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.decoder.spec import DecoderSpec, Shape

Array = NDArray[Any]
KINDS = ("weight", "bias")


@dataclass(frozen=True)
class Names:
    """The tensors of a kind of model. A name's tail, `.weight` or `.bias`, is left out."""

    body: str  # what all but the head begin with
    layer: str  # what those of a layer begin with, behind the body; {} is its number
    outside: Mapping[str, str]  # the parts of a decoder by their names
    inside: Mapping[str, tuple[str, ...]]  # of a layer; several parts lie in one tensor, one behind the other
    head: str = "lm_head"
    transposed: bool = False  # the matrices of layers are [inputs, outputs]
    by_head: bool = False  # the parts of one tensor stand head by head
    minus_one: bool = False  # norms of the root mean square are stored less 1
    ignored: tuple[str, ...] = ()  # tails of what is no weight
    pairs: bool = False  # rotated pairs are neighbours in queries and keys


@dataclass(frozen=True)
class Stored:
    """A tensor of a checkpoint."""

    name: str
    parts: Mapping[str, Shape]  # weights by their names in a `DecoderSpec`, with their shapes, in their order
    names: Names
    heads: int  # of the queries
    kv_heads: int

    @property
    def _matrix(self) -> bool:
        return len(next(iter(self.parts.values()))) == 2 and "layer_" in next(iter(self.parts))

    @property
    def shape(self) -> Shape:
        """As it is stored."""
        first, *rest = self.parts.values()
        shape = (first[0] + sum(other[0] for other in rest), *first[1:])
        return shape[::-1] if self.names.transposed and self._matrix else shape

    def split(self, stored: Array) -> Iterator[tuple[str, Array]]:
        """The parts of the tensor by their names, as a decoder takes them."""
        rows = stored.T if self.names.transposed and self._matrix else stored
        for (name, shape), part in zip(self.parts.items(), self._taken_apart(rows), strict=True):
            yield name, self._as_taken(name, part.reshape(shape))

    def join(self, parts: Mapping[str, Array]) -> Array:
        """The tensor as it is stored: what `split` takes."""
        given = [self._as_stored(name, parts[name]) for name in self.parts]
        if self.names.by_head and len(given) > 1:
            each = [part.reshape(self.heads, -1, *part.shape[1:]) for part in given]
            rows = np.concatenate(each, 1).reshape(-1, *given[0].shape[1:])
        else:
            rows = np.concatenate(given)
        return np.ascontiguousarray(rows.T if self.names.transposed and self._matrix else rows)

    def _taken_apart(self, rows: Array) -> list[Array]:
        if self.names.by_head and len(self.parts) > 1:
            by_head = rows.reshape(self.heads, len(self.parts), -1, *rows.shape[1:])
            return [by_head[:, place] for place in range(len(self.parts))]
        return np.split(rows, np.cumsum([shape[0] for shape in self.parts.values()])[:-1])

    def _as_taken(self, name: str, part: Array) -> Array:
        if self._less_one(name):
            return part + np.float32(1)
        heads = self._rotated(name)
        return part.reshape(heads, -1, 2, *part.shape[1:]).swapaxes(1, 2).reshape(part.shape) if heads else part

    def _as_stored(self, name: str, part: Array) -> Array:
        if self._less_one(name):
            return part - np.float32(1)
        heads = self._rotated(name)
        return part.reshape(heads, 2, -1, *part.shape[1:]).swapaxes(1, 2).reshape(part.shape) if heads else part

    def _less_one(self, name: str) -> bool:
        return self.names.minus_one and len(self.parts[name]) == 1 and ("norm" in name or "_after" in name)

    def _rotated(self, name: str) -> int:
        """The heads of which the pairs are neighbours; 0: they are not, or nothing is rotated."""
        part = name.partition(".")[0]
        if not self.names.pairs or not part.endswith(("_query", "_key")):
            return 0
        return self.heads if part.endswith("_query") else self.kv_heads


def stored(spec: DecoderSpec, names: Names) -> list[Stored]:
    """Every tensor that a checkpoint of a decoder holds."""
    shapes = spec.shapes()
    places: list[tuple[str, tuple[str, ...], str]] = [
        (names.body + stem, (part,), "") for stem, part in names.outside.items()
    ]
    places.append((names.head, ("head",), ""))
    for number in range(len(spec.blocks)):
        before = names.body + names.layer.format(number)
        places += [(before + stem, parts, f"layer_{number}_") for stem, parts in names.inside.items()]
    found = []
    for stem, parts, prefix in places:
        for kind in KINDS:
            held = {key: shapes[key] for part in parts if (key := f"{prefix}{part}.{kind}") in shapes}
            if held:
                found.append(Stored(f"{stem}.{kind}", held, names, spec.heads, spec.kv_heads))
    return found


_QKV = {"self_attn.q_proj": ("query",), "self_attn.k_proj": ("key",), "self_attn.v_proj": ("value",)}
_ATTENTION = {**_QKV, "self_attn.o_proj": ("output",)}
_GATED = {"mlp.gate_proj": ("gate",), "mlp.up_proj": ("up",), "mlp.down_proj": ("down",)}
_BEFORE = {"input_layernorm": ("attention_norm",), "post_attention_layernorm": ("feed_norm",)}
_AFTER = {"post_attention_layernorm": ("attention_after",), "post_feedforward_layernorm": ("feed_after",)}
_AROUND = {**_AFTER, "input_layernorm": ("attention_norm",), "pre_feedforward_layernorm": ("feed_norm",)}
_EACH = {"self_attn.q_norm": ("query_norm",), "self_attn.k_norm": ("key_norm",)}
_OUTSIDE = {"embed_tokens": "embedding", "norm": "norm"}
_FREQUENCIES = ("rotary_emb.inv_freq",)


def _llama(*inside: Mapping[str, tuple[str, ...]], minus_one: bool = False) -> Names:
    merged = {stem: parts for each in inside for stem, parts in each.items()}
    return Names("model.", "layers.{}.", _OUTSIDE, merged, minus_one=minus_one, ignored=_FREQUENCIES)


LLAMA = _llama(_ATTENTION, _GATED, _BEFORE)
QWEN3 = _llama(_ATTENTION, _GATED, _BEFORE, _EACH)
GEMMA = _llama(_ATTENTION, _GATED, _BEFORE, minus_one=True)
GEMMA2 = _llama(_ATTENTION, _GATED, _AROUND, minus_one=True)
GEMMA3 = _llama(_ATTENTION, _GATED, _AROUND, _EACH, minus_one=True)
OLMO2 = _llama(_ATTENTION, _GATED, _AFTER, _EACH)
STARCODER2 = _llama(_ATTENTION, {"mlp.c_fc": ("up",), "mlp.c_proj": ("down",)}, _BEFORE)
PHI3 = _llama(
    {"self_attn.qkv_proj": ("query", "key", "value"), "self_attn.o_proj": ("output",)},
    {"mlp.gate_up_proj": ("gate", "up"), "mlp.down_proj": ("down",)},
    _BEFORE,
)
PHI = Names(
    "model.",
    "layers.{}.",
    {"embed_tokens": "embedding", "final_layernorm": "norm"},
    {
        **_QKV, "self_attn.dense": ("output",), "mlp.fc1": ("up",), "mlp.fc2": ("down",),
        "input_layernorm": ("attention_norm",),
    },
    ignored=_FREQUENCIES,
)  # fmt: skip
OPT = Names(
    "model.decoder.",
    "layers.{}.",
    {"embed_tokens": "embedding", "embed_positions": "places", "final_layer_norm": "norm"},
    {
        **_QKV, "self_attn.out_proj": ("output",), "fc1": ("up",), "fc2": ("down",),
        "self_attn_layer_norm": ("attention_norm",), "final_layer_norm": ("feed_norm",),
    },
)  # fmt: skip
GPT2 = Names(
    "transformer.",
    "h.{}.",
    {"wte": "embedding", "wpe": "places", "ln_f": "norm"},
    {
        "attn.c_attn": ("query", "key", "value"), "attn.c_proj": ("output",), "mlp.c_fc": ("up",),
        "mlp.c_proj": ("down",), "ln_1": ("attention_norm",), "ln_2": ("feed_norm",),
    },
    transposed=True,
    ignored=(".attn.bias", ".attn.masked_bias"),
)  # fmt: skip
GPT_NEOX = Names(
    "gpt_neox.",
    "layers.{}.",
    {"embed_in": "embedding", "final_layer_norm": "norm"},
    {
        "attention.query_key_value": ("query", "key", "value"), "attention.dense": ("output",),
        "mlp.dense_h_to_4h": ("up",), "mlp.dense_4h_to_h": ("down",), **_BEFORE,
    },
    head="embed_out",
    by_head=True,
    ignored=(".attention.bias", ".attention.masked_bias", *_FREQUENCIES),
)  # fmt: skip
GGUF = Names(
    "",
    "blk.{}.",
    {"token_embd": "embedding", "output_norm": "norm"},
    {
        "attn_q": ("query",), "attn_k": ("key",), "attn_v": ("value",), "attn_output": ("output",),
        "ffn_gate": ("gate",), "ffn_up": ("up",), "ffn_down": ("down",), "attn_norm": ("attention_norm",),
        "ffn_norm": ("feed_norm",), "attn_q_norm": ("query_norm",), "attn_k_norm": ("key_norm",),
    },
    head="output",
    ignored=("rope_freqs.weight",),
)  # fmt: skip
