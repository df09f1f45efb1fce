"""The decoder of `lm_gpu.py` in PyTorch, as gpt-fast writes one: a static cache, whole steps compiled, one CUDA graph.

github.com/meta-pytorch/gpt-fast: fused matrices, the cache written in place, `coordinate_descent_tuning`, int8 weights
as a cast within the product. Attention of a step by plain products, which was fastest at small batches, or
flex_attention, which skips what lies beyond the position; of a prompt by flash attention.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

EPSILON = 1e-6
BLOCK = 128


def kept(name: str) -> str:
    """A weight's name as an attribute's."""
    return "weight_" + name.replace("+", "_and_").replace(".", "_")


class Decoder(torch.nn.Module):
    """Weights by the names of the programs' arguments: matrices [outputs, inputs], or int8 beside `….scale`."""

    def __init__(
        self, size: Any, weights: dict[str, Any], batch: int, room: int, theta: float, attention: str = "plain"
    ) -> None:
        super().__init__()
        self.size, self.batch, self.room, self.attention = size, batch, room, attention
        self.names = {name.split("+")[0]: name for name in weights if not name.endswith(".scale")}
        for name, value in weights.items():
            self.register_buffer(kept(name), value)
        dtype = torch.bfloat16
        shape = (batch, size.kv_heads, room, size.head_width)
        for layer in range(size.layers):
            for side in "kv":
                self.register_buffer(f"cache_{side}_{layer}", torch.randn(shape, device="cuda", dtype=dtype))
        angles = torch.arange(room, device="cuda")[:, None] * theta ** -(
            torch.arange(0, size.head_width, 2, device="cuda").float() / size.head_width
        )
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        self.register_buffer("token", torch.zeros(batch, dtype=torch.long, device="cuda"))
        self.register_buffer("position", torch.zeros(1, dtype=torch.long, device="cuda"))
        self.whole_mask = None
        if attention == "flex":
            self.whole_mask = create_block_mask(
                lambda _b, _h, q, kv: q >= kv, 1, 1, room, room, device="cuda", BLOCK_SIZE=BLOCK
            )

    def linear(self, x: Any, part: str) -> Any:
        name = self.names[part]
        matrix, scale = getattr(self, kept(name)), getattr(self, kept(f"{name}.scale"), None)
        if scale is None:
            return functional.linear(x, matrix)
        return functional.linear(x, matrix.to(x.dtype)) * scale[:, 0].to(x.dtype)

    def norm(self, x: Any, name: str) -> Any:
        return functional.rms_norm(x, (x.shape[-1],), getattr(self, kept(name)).to(x.dtype), EPSILON)

    def turned(self, x: Any, places: Any) -> Any:
        """[batch, n, heads, d], pairs a half apart."""
        cos, sin = self.cos[places][None, :, None], self.sin[places][None, :, None]
        one, other = x.float().chunk(2, -1)
        return torch.cat([one * cos - other * sin, other * cos + one * sin], -1).to(x.dtype)

    def looked_up(self, tokens: Any) -> Any:
        rows = getattr(self, kept("embedding"))[tokens]
        scale = getattr(self, kept("embedding.scale"), None)
        return rows if scale is None else rows.to(torch.bfloat16) * scale[tokens].to(torch.bfloat16)

    def layer(self, x: Any, number: int, places: Any, attend: Callable[..., Any]) -> Any:
        size, prefix = self.size, f"layer_{number}_"
        rows, keys = size.heads * size.head_width, size.kv_heads * size.head_width
        query, key, value = self.linear(self.norm(x, f"{prefix}attention_norm"), f"{prefix}query").split(
            [rows, keys, keys], -1
        )
        heads = [each.unflatten(-1, (-1, size.head_width)) for each in (query, key, value)]
        query, key, value = self.turned(heads[0], places), self.turned(heads[1], places), heads[2]
        found = attend(number, query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        x = x + self.linear(found.transpose(1, 2).flatten(2), f"{prefix}output")
        first = next(name for name in self.names if name in (f"{prefix}gate", f"{prefix}up"))
        halves = self.linear(self.norm(x, f"{prefix}feed_norm"), first).chunk(2, -1)
        gate, up = halves if first.endswith("gate") else halves[::-1]
        return x + self.linear(functional.silu(gate) * up, f"{prefix}down")

    def step(self) -> None:
        """One token: the likeliest becomes the next."""
        places, mask = self.position, None
        if self.whole_mask is not None:
            mask = self.whole_mask[:, :, places // BLOCK]
            offset = places[0]
            mask.mask_mod = lambda _b, _h, q, kv: q + offset >= kv
            mask.seq_lengths = (1, self.room)

        def attend(number: int, query: Any, key: Any, value: Any) -> Any:
            keys, values = getattr(self, f"cache_k_{number}"), getattr(self, f"cache_v_{number}")
            keys[:, :, places] = key
            values[:, :, places] = value
            scale = self.size.head_width**-0.5
            if mask is not None:
                return flex_attention(query, keys, values, block_mask=mask, enable_gqa=True, scale=scale)
            grouped = query.unflatten(1, (self.size.kv_heads, -1)).squeeze(3)
            scores = (grouped @ keys.transpose(-1, -2)).float() * scale
            scores = scores.masked_fill(torch.arange(self.room, device="cuda") > places, -1e9)
            return (scores.softmax(-1).to(query.dtype) @ values).flatten(1, 2)[:, :, None]

        x = self.looked_up(self.token)[:, None]
        for number in range(self.size.layers):
            x = self.layer(x, number, places, attend)
        scores = self.linear(self.norm(x, "norm"), "embedding")
        self.token.copy_(scores[:, 0].argmax(-1))
        self.position.add_(1)

    def prompt(self, tokens: Any) -> Any:
        """The scores behind the last of the tokens [batch, n], which are the first ones."""
        n = tokens.shape[1]
        places = torch.arange(n, device="cuda")

        def attend(number: int, query: Any, key: Any, value: Any) -> Any:
            getattr(self, f"cache_k_{number}")[:, :, :n] = key
            getattr(self, f"cache_v_{number}")[:, :, :n] = value
            return functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)

        x = self.looked_up(tokens)
        for number in range(self.size.layers):
            x = self.layer(x, number, places, attend)
        return self.linear(self.norm(x[:, -1:], "norm"), "embedding")[:, 0].float()


def graphed(call: Callable[[], Any], options: dict[str, Any]) -> tuple[Callable[[], None], Any]:
    """A call compiled whole and captured as one CUDA graph: how to replay it, and what it gives, if anything."""
    compiled = torch.compile(call, fullgraph=True, options=options)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream), torch.no_grad():
        for _ in range(3):
            compiled()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.no_grad():
        given = compiled()
    return graph.replay, given


def exact(size: Any, weights: dict[str, Any], tokens: Any, theta: float) -> Any:
    """Scores of all places of one text in float32, eagerly: float32 [n, vocabulary]."""
    wide = {}
    for name, value in weights.items():
        if name.endswith(".scale"):
            continue
        scale = weights.get(f"{name}.scale")
        wide[name] = value.float()
        if scale is not None:
            wide[name] = (wide[name].unflatten(-1, (scale.shape[1], -1)) * scale[..., None]).flatten(1)
    model = Decoder(size, wide, 1, len(tokens), theta)
    places = torch.arange(len(tokens), device="cuda")

    def attend(_number: int, query: Any, key: Any, value: Any) -> Any:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)

    with torch.no_grad():
        x = model.looked_up(tokens)[None]
        for number in range(size.layers):
            x = model.layer(x, number, places, attend)
        return model.linear(model.norm(x, "norm"), "embedding")[0]
