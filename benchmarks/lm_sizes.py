"""The models of `lm_gpu.py`, and how much of them is measured: what needs neither TensorFlow, PyTorch nor jaxlib."""

from dataclasses import dataclass

ROOM, PROMPT, STEPS = 1024, 512, 128  # places of a cache, tokens of a prompt, tokens that one call tells
BATCHES = (1, 8, 64)


@dataclass(frozen=True)
class Size:
    """A Llama-like decoder: RMS norms, rotary places, grouped queries, SwiGLU, the embedding as the head."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    vocabulary: int

    @property
    def head_width(self) -> int:
        return self.width // self.heads


SIZES = {
    "100m": Size(768, 12, 12, 4, 2048, 32_000),
    "1b": Size(2048, 16, 32, 8, 8192, 128_256),
    "7b": Size(4096, 32, 32, 8, 14_336, 128_256),
}
THETA = 500_000.0
