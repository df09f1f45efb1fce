"""Makes the golden `.tflite` files of this folder: `python tests/golden/make.py`. Only this needs TensorFlow.

`float32`, `float16`, `int8`, `int16x8`: one 3×3 convolution, one dense layer, 8×8×1 to 4 classes, seeded weights.
`mixed`: the int8 network with a cumulative sum behind it, which the Ethos-U compiler leaves to the CPU.
`two`: two float inputs `a`, `b` [3] and two outputs `difference`, `product` [3].
`recurrent`: a sequence [5, 2] through an LSTM that keeps its state in variable tensors, and remembers long.
`tokens`: an int32 input [5] through an averaged embedding.
`custom`: an op that LiteRT does not have, so it refuses to run it.
`.onnx`: the same as Tercet converts them for ONNX Runtime. `.stablehlo`: the first two for PJRT.
"""

import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow as tf
import tf_keras

from tasks.bench.kinds.onnxruntime import to_onnx
from tasks.quantize import litert, stablehlo

HERE = Path(__file__).parent


def network(*, cumulative: bool = False) -> tf_keras.Model:
    """The small convolutional classifier."""
    x = inputs = tf_keras.Input((8, 8, 1), name="image")
    x = tf_keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = tf_keras.layers.Flatten()(x)
    x = tf_keras.layers.Dense(4, name="scores")(x)
    if cumulative:
        x = tf.cumsum(x, axis=1)
    return tf_keras.Model(inputs, x)


def converter(model: tf_keras.Model) -> tf.lite.TFLiteConverter:
    """A converter for batches of one."""
    return tf.lite.TFLiteConverter.from_keras_model(model)


def integer(model: tf_keras.Model, ops: str | None = "TFLITE_BUILTINS_INT8") -> bytes:
    """Full-integer quantization on random images; with no `ops` named, floats may stay."""
    made = converter(model)
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    images = np.random.default_rng(0).random((32, 1, 8, 8, 1), np.float32)
    made.representative_dataset = lambda: ([image] for image in images)
    if ops:
        made.target_spec.supported_ops = [tf.lite.OpsSet[ops]]
        made.inference_input_type = made.inference_output_type = tf.int16 if "INT16" in ops else tf.int8
    return made.convert()


def half(model: tf_keras.Model) -> bytes:
    """Weights in float16."""
    made = converter(model)
    made.optimizations = [tf.lite.Optimize.DEFAULT]
    made.target_spec.supported_types = [tf.float16]
    return made.convert()


def two() -> bytes:
    """Two inputs, two outputs."""
    a, b = tf_keras.Input((3,), name="a"), tf_keras.Input((3,), name="b")
    difference = tf_keras.layers.Subtract(name="difference")([a, b])
    product = tf_keras.layers.Multiply(name="product")([a, b])
    return converter(tf_keras.Model([a, b], {"difference": difference, "product": product})).convert()


def recurrent() -> bytes:
    """An LSTM with a forget gate that stays open."""
    inputs = tf_keras.Input((5, 2), batch_size=1, name="sequence")
    lstm = tf_keras.layers.LSTM(8)
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(2, name="scores")(lstm(inputs)))
    kernel, recurrent_kernel, bias = lstm.get_weights()
    bias[8:16] += 2.5
    lstm.set_weights([kernel, recurrent_kernel, bias])
    return converter(model).convert()


def tokens() -> bytes:
    """An embedding."""
    inputs = tf_keras.Input((5,), dtype=tf.int32, name="tokens")
    x = tf_keras.layers.Embedding(7, 2)(inputs)
    return converter(tf_keras.Model(inputs, tf_keras.layers.GlobalAveragePooling1D()(x))).convert()


def custom() -> bytes:
    """An op that only TensorFlow has, left in under its own name."""
    x = tf.TensorSpec((1, 3), tf.float32, name="x")
    function = tf.function(lambda x: tf.math.igamma(x, x), input_signature=[x])
    made = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    made.allow_custom_ops = True
    return made.convert()


def portable(model: tf_keras.Model, scheme: str) -> bytes:
    """StableHLO, as the stage `quantize` writes it."""
    return stablehlo.convert(model, scheme, litert.inspect(litert.convert(model, "float32", calibration=None)))


def main() -> None:
    """Write every file."""
    tf_keras.utils.set_random_seed(0)
    model = network()
    files = {
        "float32": converter(model).convert(),
        "float16": half(model),
        "int8": integer(model),
        "int16x8": integer(model, "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"),
        "mixed": integer(network(cumulative=True), ops=None),
        "two": two(),
        "tokens": tokens(),
        "recurrent": recurrent(),
        "custom": custom(),
    }
    for name, content in files.items():
        (HERE / f"{name}.tflite").write_bytes(content)
        if name != "recurrent":  # tf2onnx does not know its operator
            to_onnx(HERE / f"{name}.tflite", HERE / f"{name}.onnx")
    for scheme in ("float32", "float16"):
        (HERE / f"{scheme}.stablehlo").write_bytes(portable(model, scheme))


if __name__ == "__main__":
    main()
