"""Norms of programs of StableHLO: what they say, and that many texts' sums are no part of the step before a product."""

import numpy as np
import pytest

from tasks.bench.runner import pjrt
from tasks.decoder import network, normed
from tasks.decoder.portable import Network, Numbers
from tasks.decoder.spec import Block, DecoderSpec
from tasks.quantize import programs

tf = pytest.importorskip("tensorflow", reason="the training stack is not installed")
ROOM = 8
SPEC = DecoderSpec(
    vocabulary=24, width=16, hidden=24, heads=2, kv_heads=1, head_width=8, room=ROOM, attention_scale=0.35, tied=True,
    blocks=(Block((1.0, 0.1, 0.01, 0.001)),),
)  # fmt: skip


def compiled(shape):
    """The norm of x of a shape, [batch, n, 16]: as XLA runs it, and as a module of StableHLO."""

    def call(x, scale):
        return normed.rms(x, scale, 1e-6).whole()

    function = tf.function(call, autograph=False, jit_compile=True)
    specs = tf.TensorSpec(shape), tf.TensorSpec((16,))
    return function, function.experimental_get_compiler_ir(*specs)(stage="stablehlo")


@pytest.mark.parametrize(("shape", "barriers"), [((12, 1, 16), 1), ((8, 1, 16), 0), ((12, 3, 16), 0)])
def test_many_texts_sums_stand_apart_and_say_the_same(shape, barriers):
    rng = np.random.default_rng(0)
    x, scale = rng.normal(size=shape).astype("f4"), rng.normal(size=16).astype("f4")
    function, text = compiled(shape)
    assert text.count("stablehlo.optimization_barrier") == barriers
    expected = x * scale / np.sqrt((x.astype("f8") ** 2).mean(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(function(tf.constant(x), tf.constant(scale)), expected, rtol=1e-5, atol=1e-6)


def test_many_texts_are_told_what_each_is_told_alone(monkeypatch):
    monkeypatch.setenv("NPROC", "1")
    reached, found = pjrt.Reached("cpu", 1), Network(network.build(SPEC), Numbers())
    rng = np.random.default_rng(1)
    drawn = {name: rng.normal(len(each.shape) == 1, 0.3, each.shape) for name, each in found.weights.items()}
    given = {name: value.astype("f4") for name, value in drawn.items()}
    tokens, told = rng.integers(0, 24, 12).astype(np.int32), {}
    for batch in (12, 1):
        program = programs.decode(found, batch, ROOM)
        running = reached.compiled(program.content)
        told[batch] = []
        for start in range(0, 12, batch):
            own = {"token": tokens[start : start + batch], "position": np.asarray(0, np.int32)}
            rest = {name: np.zeros(shape, dtype) for name, (shape, dtype) in program.arguments.items()} | given | own
            results = pjrt.run(running, [reached.put(rest[name]) for name in program.arguments])
            told[batch] += pjrt.read(results[list(program.results).index("token")]).tolist()
    assert told[12] == told[1]
    assert len(set(told[1])) > 1
