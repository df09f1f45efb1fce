"""Products of four bits by our own kernel: what is asked of XLA, and what the kernel's lanes read, multiply and add."""

import json
import re

import numpy as np
import pytest

from tasks.decoder import kernels, multiplying, network
from tasks.decoder.normed import Normed
from tasks.decoder.portable import Network, Numbers
from tasks.decoder.spec import Block, DecoderSpec
from tasks.quantize import programs

tf = pytest.importorskip("tensorflow", reason="the training stack is not installed")
SPEC = DecoderSpec(
    vocabulary=64, width=256, hidden=512, heads=4, kv_heads=2, head_width=64, room=32, attention_scale=0.125, tied=True,
    blocks=(Block((1.0, 0.1)),) * 2,
)  # fmt: skip


def asked(*matrix, norm=None, added=False):
    """The fields of a call for a matrix: rows, width, tokens, scales of a row."""
    text = multiplying._asked(*matrix, norm, added=added)
    if text is None:
        return None
    words = {name: json.loads(word) for name, word in re.findall(r'(\w+) = ("(?:[^"\\]|\\.)*")', text)}
    return words | {name: int(n) for name, n in re.findall(r"(\w+) = (\d+) : i32", text)}


def test_the_made_file_is_of_this_source():
    head, found = kernels.parts()
    assert f"sha256 {kernels.digest()}" in head, "run python -m tasks.decoder.kernels"
    assert set(found) == {f"int4_{scales}_{chunks}" for scales in ("rows", "blocks") for chunks in (1, 2)}


@pytest.mark.parametrize(
    ("matrix", "name", "grid", "threads"),
    [
        ((3072, 2048, 1, 1), "int4_rows_1", 192, 256),
        ((16384, 2048, 8, 1), "int4_rows_1", 256, 256),
        ((128256, 2048, 1, 16), "int4_blocks_1", 259, 256),
        ((4096, 4096, 1, 1), "int4_rows_1", 128, 512),
        ((2048, 8192, 1, 64), "int4_blocks_2", 128, 512),
    ],
)
def test_a_call_says_which_kernel_runs_over_how_many_threads(matrix, name, grid, threads):
    rows, width, tokens, _ = matrix
    call = asked(*matrix)
    assert (call["name"], call["grid_x"], call["block_x"], call["kernel_type"]) == (name, grid, threads, "ptx")
    chunks, warps = int(name[-1]), threads // 32
    assert width == 256 * chunks * warps
    assert -(-rows // 16 // grid) * grid >= rows // 16
    assert call["shared_mem_bytes"] == 4 * warps * (2 * 16 * 8 + 8)
    text = call["kernel_data"]
    assert text.count(".entry") == 1
    assert f".visible .entry {name}(" in text
    assert not re.search(r", [A-Z]+;", text), "a name without its number"
    assert re.findall(r"mov\.u32 %r\d+, (\d+);", text)[:2] == [str(rows), str(tokens)]


def test_norms_and_sums_are_told_to_the_kernel():
    norm = Normed(None, None, of=0, gain=0, epsilon=1e-6)
    call = asked(3072, 2048, 2, 1, norm=norm, added=True)
    assert call["shared_mem_bytes"] == 8 * 1056 + 2 * 2 * 2048
    assert f"0f{np.float32(1e-6).view(np.uint32):08x};" in call["kernel_data"]


@pytest.mark.parametrize(
    "matrix",
    [(24, 256, 1, 1), (16, 384, 1, 1), (16, 14336, 1, 1), (16, 8192 + 512, 1, 1), (16, 2048, 1, 4), (16, 256, 3, 1)],
)
def test_for_any_other_matrix_there_is_none(matrix):
    assert asked(*matrix) is None


def test_what_is_normed_fits_into_a_block():
    norm = Normed(None, None, of=0, gain=0, epsilon=1e-6)
    assert asked(2048, 4096, 3, 1, norm=norm) is not None
    assert asked(2048, 4096, 8, 1, norm=norm) is None


@pytest.mark.parametrize(("chunks", "warps", "blocks"), [(1, 3, 1), (2, 2, 1), (1, 2, 4)])
def test_what_lanes_read_and_multiply_are_the_products(chunks, warps, blocks):
    """The kernel's indices in numpy: bytes of packed weights by lane, mma's fragments, sums of warps."""
    rng, tokens, width = np.random.default_rng(0), 5, chunks * warps * 256
    weights = rng.integers(-8, 8, (16, width))
    x = rng.integers(-64, 65, (8, width)) / 16.0
    x[tokens:] = 0
    scale = rng.random((16, blocks)) + 0.5
    packed = (weights[:, ::2] & 15 | (weights[:, 1::2] & 15) << 4).astype(np.uint8)
    found = np.zeros((16, 8))
    for warp in range(warps):
        for part in range(2 * chunks):
            start = warp * chunks * 128 + part * 64  # bytes of a row
            sums = sum(fragments(packed, x, start, j, pair) for j in range(4) for pair in (0, 8))
            share = scale[:, [start * 2 // (width // blocks)]]
            found += sums * share
    exact = np.einsum("rbi,nbi,rb->rn", weights.reshape(16, blocks, -1), x.reshape(8, blocks, -1), scale)
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def fragments(packed, x, start, j, shift):
    """What one mma m16n8k16 adds: its registers filled as the kernel fills them, and read as PTX lays them out."""
    left, right = np.zeros((16, 16)), np.zeros((16, 8))
    for lane in range(32):
        g, t = divmod(lane, 4)
        eight = [int(packed[row, start + 16 * t + 4 * j :][:4].view("<u4")[0]) for row in (g, g + 8)]
        numbers = x[g, 2 * start + 32 * t + 8 * j :][:8]
        first = shift // 4  # of the pairs of x: (0, 4) and (1, 5), or (2, 6) and (3, 7)
        for half, place in ((0, 2 * t), (1, 2 * t + 8)):
            for row, word in zip((g, g + 8), eight, strict=True):
                left[row, place : place + 2] = two(word >> (shift + 4 * half))
            right[place : place + 2, g] = numbers[first + half], numbers[first + half + 4]
    return left @ right


def two(word):
    """The lower nibble of each half, as bfloat16's bits make them: 128 + (v xor 8), less 136."""
    bits = (word & 0x000F000F) ^ 0x43084308
    halves = np.array([bits & 0xFFFF, bits >> 16], np.uint32) << 16
    return halves.view(np.float32) - 136.0


@pytest.fixture(scope="module")
def model():
    return network.build(SPEC)


def test_products_of_four_bits_are_asked_of_the_kernel_by_name(model):
    """One for queries, keys and values, one for the output, two of the feed-forward, in each layer, and the scores."""
    own = Network(model, Numbers("bfloat16", 4), multiply=multiplying.by_ptx)
    text = module(programs.decode(own, 1, 32))
    assert text.count(f"custom_call @{kernels.TARGET}") == 2 * 4 + 1
    assert text.count("api_version = 2") == 2 * 4 + 1
    sums = re.findall(rf"@{re.escape(kernels.TARGET)}.*-> tensor<1x(\d+)x(bf16|f32)>", text)
    assert sums == [("512", "f32"), ("256", "bf16"), ("1024", "f32"), ("256", "bf16")] * 2 + [("64", "f32")]


def module(program):
    """A program's text."""
    from jaxlib.mlir import ir
    from jaxlib.mlir._mlir_libs import _jax_mlir_ext
    from jaxlib.mlir.dialects import stablehlo

    known = ir.DialectRegistry()
    _jax_mlir_ext.register_dialects(known)
    with ir.Context() as context:
        context.append_dialect_registry(known)
        context.load_all_available_dialects()
        stablehlo.register_dialect(context)
        return str(stablehlo.deserialize_portable_artifact(context, program.content))


def test_what_the_kernel_does_not_take_xla_multiplies(model):
    for numbers, batch in ((Numbers("bfloat16", 4), 9), (Numbers("bfloat16", 8), 1), (Numbers("bfloat16"), 1)):
        ours = programs.decode(Network(model, numbers, multiply=multiplying.by_ptx), batch, 32)
        assert kernels.TARGET.encode() not in ours.content, numbers
