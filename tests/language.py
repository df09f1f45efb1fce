"""Language models small enough to compute by hand: LiteRT files that are called by two signatures and keep a state."""

from collections.abc import Sequence
from typing import Any

import numpy as np

WORDS, WIDTH, PLACES, PROMPT = 11, 4, 12, 5  # vocabulary, numbers a token, of the cache, tokens of a prompt
RNG = np.random.default_rng(7)
EMBEDDING = RNG.normal(size=(WORDS, WIDTH)).astype(np.float32)
OUT = RNG.normal(size=(WIDTH, WORDS)).astype(np.float32)
DECAY = np.float32(-0.9)


def attending() -> bytes:
    """Each token attends to all before it, by a cache that a DYNAMIC_UPDATE_SLICE writes to."""
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.python import xla

    def step(tokens: Any, input_pos: Any, cache: Any) -> Any:
        x = tf.gather(EMBEDDING, tokens)  # [1, n, d]
        cache = xla.dynamic_update_slice(cache, x, tf.stack([0, input_pos[0], 0]))
        scores = tf.matmul(x, cache, transpose_b=True)  # [1, n, places]
        seen = tf.cast(tf.range(PLACES)[None, None] <= input_pos[None, :, None], tf.float32)
        return tf.matmul(tf.nn.softmax(scores - 1e9 * (1 - seen)), cache), cache

    return _file(step, (1, PLACES, WIDTH))


def decaying() -> bytes:
    """The state is a sum of all tokens, older ones less and by turns negative; an answer needs the old state too."""
    import tensorflow as tf

    def step(tokens: Any, input_pos: Any, state: Any) -> Any:
        x = tf.gather(EMBEDDING, tokens)
        rows = []
        before = state
        for k in range(int(tokens.shape[1])):
            state = state * DECAY + x[:, k]
            rows.append(state)
        here = tf.cast(input_pos[0], tf.float32) * 0.0
        return tf.stack(rows, 1) + (before + here)[:, None] * 0.1, state

    return _file(step, (1, WIDTH))


def _file(step: Any, shape: tuple[int, ...]) -> bytes:
    import tempfile

    import tensorflow as tf

    def called(n: int) -> Any:
        @tf.function(
            input_signature=[
                tf.TensorSpec((1, n), tf.int32, "tokens"),
                tf.TensorSpec((n,), tf.int32, "input_pos"),
                tf.TensorSpec(shape, tf.float32, "cache"),
            ]
        )
        def call(tokens: Any, input_pos: Any, cache: Any) -> dict[str, Any]:
            rows, cache = step(tokens, input_pos, cache)
            return {"logits": tf.matmul(rows[:, -1], OUT), "cache": cache}

        return call

    module = tf.Module()
    module.prefill, module.decode = called(PROMPT), called(1)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"prefill": module.prefill, "decode": module.decode})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["prefill", "decode"])
        content: bytes = converter.convert()
    return content


def scores_by_hand(kind: str, tokens: Sequence[int]) -> np.ndarray:
    """What a model says of the token after these, of which the first are the prompt: in numpy, without a state."""
    x = EMBEDDING[list(tokens)].astype(np.float64)
    if kind == "attending":
        weights = np.exp(x @ x[-1])
        return (weights / weights.sum()) @ x @ OUT
    sums = [sum(float(DECAY) ** (k - i) * x[i] for i in range(k + 1)) for k in range(len(x))]
    before = sums[-2] if len(x) > PROMPT else np.zeros(WIDTH)
    return (sums[-1] + 0.1 * before) @ OUT


def text_by_hand(kind: str, prompt: Sequence[int], new_tokens: int) -> list[int]:
    """The tokens that follow a prompt, each the likeliest."""
    text = list(prompt)
    for _ in range(new_tokens):
        text.append(int(np.argmax(scores_by_hand(kind, text))))
    return text[len(prompt) :]


def bigram(scores: np.ndarray, length: int) -> bytes:
    """A file of one operator, which gives each token of `[1, length]` its row of `scores` [words, any]."""
    from ai_edge_litert import schema_py_generated as schema

    from tasks.formats import tflite

    words, width = scores.shape
    shapes = {"tokens": (1, length), "table": (words, width), "scores": (1, length, width)}
    kinds = {"tokens": schema.TensorType.INT32}
    model, graph, code, gather = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [code]
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(scores.astype("<f4").tobytes(), np.uint8)
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.GATHER
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [], [0], [2], [gather]
    for name, shape in shapes.items():
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(shape), int(name == "table")
        tensor.type = kinds.get(name, schema.TensorType.FLOAT32)
        graph.tensors.append(tensor)
    gather.inputs, gather.outputs, gather.builtinOptions = [1, 0], [2], schema.GatherOptionsT()
    gather.builtinOptionsType = schema.BuiltinOptions.GatherOptions
    return tflite.pack(model)
