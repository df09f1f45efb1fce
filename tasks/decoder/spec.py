"""What a decoder is: sizes, and switches by which the kinds of language models differ."""

from dataclasses import dataclass
from typing import Literal

Shape = tuple[int, ...]
ATTENTION = ("query", "key", "value", "output")


@dataclass(frozen=True)
class Block:
    """What may differ from layer to layer."""

    frequencies: tuple[float, ...] = ()  # radians a place of each rotated pair; none: it does not know of places
    window: int | None = None  # tokens that one sees, itself among them; None: all


@dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """A decoder: tokens in, a score for each token as the next one out.

    Its parts with weights are called `embedding`, `places`, `norm`, `head`, and of layer 3 `layer_3_query` and so on:
    `query`, `key`, `value`, `output` of the attention, `gate`, `up`, `down` of the feed-forward, `attention_norm` and
    `feed_norm` before these, `attention_after` and `feed_after` behind them, `query_norm` and `key_norm`.
    """

    vocabulary: int
    width: int
    hidden: int  # units of the feed-forward
    heads: int
    kv_heads: int
    head_width: int
    blocks: tuple[Block, ...]
    room: int  # tokens that it was made for
    norm: Literal["rms", "layer"] = "rms"
    epsilon: float = 1e-6
    norms: Literal["before", "around", "after"] = "before"  # attention and feed-forward
    parallel: bool = False  # attention and feed-forward side by side, on the same input
    shared_norm: bool = False  # by one norm, where they are side by side
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "silu"
    gated: bool = True
    biases: frozenset[str] = frozenset()  # parts that have one: `query`, `norm` …
    places: int | None = None  # rows of learnt places; None: there are none
    offset: int = 0  # rows before that of the first place
    query_norm: Literal["head", "width"] | None = None  # of queries and keys: of each head, or of all at once
    tied: bool = False  # the embedding is the head
    embedding_scale: float = 1.0
    attention_scale: float = 1.0
    residual_scale: float = 1.0
    logit_scale: float = 1.0
    attention_cap: float | None = None
    logit_cap: float | None = None

    def shapes(self) -> dict[str, Shape]:
        """The shape of each weight by its name, such as `layer_0_query.bias`; matrices are [outputs, inputs]."""
        outside = {"embedding": (self.vocabulary, self.width), "norm": (self.width,)}
        if self.places is not None:
            outside["places"] = (self.places, self.width)
        if not self.tied:
            outside["head"] = (self.vocabulary, self.width)
        found = self._weights(outside, "")
        for number in range(len(self.blocks)):
            found |= self._weights(self._inside(), f"layer_{number}_")
        return found

    def _inside(self) -> dict[str, Shape]:
        queries, keys = self.heads * self.head_width, self.kv_heads * self.head_width
        found: dict[str, Shape] = {
            "query": (queries, self.width), "key": (keys, self.width), "value": (keys, self.width),
            "output": (self.width, queries), "up": (self.hidden, self.width), "down": (self.width, self.hidden),
        }  # fmt: skip
        if self.gated:
            found["gate"] = (self.hidden, self.width)
        if self.query_norm is not None:
            each = self.query_norm == "head"
            found |= {
                "query_norm": (self.head_width if each else queries,), "key_norm": (self.head_width if each else keys,)
            }  # fmt: skip
        return found | dict.fromkeys(self.norms_of_a_layer(), (self.width,))

    def norms_of_a_layer(self) -> tuple[str, ...]:
        """The norms that a layer has beside those of queries and keys."""
        if self.shared_norm:
            return ("attention_norm",)
        before, after = ("attention_norm", "feed_norm"), ("attention_after", "feed_after")
        return {"before": before, "around": before + after, "after": after}[self.norms]

    def _weights(self, parts: dict[str, Shape], prefix: str) -> dict[str, Shape]:
        found = {f"{prefix}{part}.weight": shape for part, shape in parts.items()}
        return found | {f"{prefix}{part}.bias": parts[part][:1] for part in parts if part in self.biases}
