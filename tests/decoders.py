"""A decoder of one layer, small enough to be converted in seconds, and what Keras says of a text without a cache."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks.bench.runner import language as runner
from tasks.decoder import network
from tasks.decoder.spec import Block, DecoderSpec
from tasks.formats import tflite
from tasks.params import Quantize
from tasks.quantize import signatures

WINDOW, ROOM, PREFILL, WORDS, WIDTH = 12, 24, (4, 8), 256, 64
SPEC = DecoderSpec(
    vocabulary=WORDS, width=WIDTH, hidden=96, heads=4, kv_heads=2, head_width=16, blocks=(Block((1.0, 0.1)),), room=32,
    attention_scale=0.25, tied=True,
)  # fmt: skip
TEXT = np.random.default_rng(0).integers(0, WORDS, ROOM).astype(np.int32)
Options = dict[str, Any]


def entry(scheme: str = "float32", **keys: Any) -> Quantize:
    return Quantize(model="baseline", scheme=scheme, **keys)


def built() -> Any:
    """It tells the token behind a window."""
    import tf_keras as keras

    keras.utils.set_random_seed(0)
    model = network.build(SPEC, WINDOW)
    last = keras.layers.Reshape((WORDS,))(keras.layers.Cropping1D((WINDOW - 1, 0))(model.output))
    model = keras.Model(model.input, keras.layers.Softmax()(last), name="decoder")
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(1 if w.ndim == 1 else 0, 0.2, w.shape) for w in model.get_weights()])
    return model


def logits(model: Any, text: np.ndarray = TEXT) -> np.ndarray:
    """What Keras says at each place of a text, which it is told whole: no cache, no signature."""
    whole = network.build(SPEC)
    whole.set_weights(model.get_weights())
    scores: np.ndarray = whole(text[None]).numpy()[0]
    return scores


def matrices(model: Any) -> list[np.ndarray]:
    """Those that a file has, as rows of outputs: queries, keys and values are one."""
    found = {name: value for name, value in network.weights(model) if value.ndim > 1}
    beside = [found.pop(f"layer_0_{part}.weight") for part in ("query", "key", "value")]
    return [np.concatenate(beside), *found.values()]


def driver(path: Path, *, whole: bool = False, asked: str | None = None) -> runner.Model:
    """The runner's, of a file; `whole`: it knows of no smaller rooms."""
    calls = [call.model_dump() for call in signatures.read(tflite.load(path))]
    calls = [call for call in calls if not (whole and call["name"].startswith("room"))]
    return runner.Model(str(path), {"kernels": "default", "threads": 1, "signatures": calls, "asked": asked})
