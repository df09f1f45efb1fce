"""Makes model files by Keras 3, in a process of its own, then answers for them: `keras3_files.py FOLDER`.

Beside each `<name>.keras` lies `<name>.npz`: inputs `in/<name>`, what the model answers, `out/<i>`, and what two calls
answer while it trains, `train/<i>`. Then each line of standard input is JSON: either `make`, the name of one more
model, or `witness`, the arguments of `keras3_reader.py`, with `cwd`, the folder to work in. Each line of standard
output is what came of it.
"""

import json
import os
import sys
from pathlib import Path

import keras
import keras3_layers
import keras3_operations
import keras3_training
import numpy as np
from keras import layers

from tasks.foreign import keras3_reader


def residual():
    x = inputs = layers.Input((8, 8, 1), name="pixels")
    x = layers.Activation("relu6")(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x)))
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", activation="silu", name="depth")(x))
    y = layers.SeparableConv2D(8, 3, padding="same", activation="relu6")(y)
    x = layers.ReLU(6.0)((layers.Add()([x, y]) + y) * 0.5 - 0.1)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x), name="net")


def sequential():
    return keras.Sequential([
        layers.Input((8, 8, 1)),
        layers.Rescaling(2.0, -1.0),
        layers.Conv2D(4, 3, activation="gelu"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(),
        layers.Conv2DTranspose(4, 3),
        layers.LeakyReLU(negative_slope=0.1),
        layers.PReLU(),
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip


def transformer():
    inputs = layers.Input((10,), dtype="int32", name="tokens")
    x = layers.Embedding(30, 16)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(16, activation="gelu")(x)]))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def recurrent():
    inputs = layers.Input((10,), dtype="int32")
    x = layers.Embedding(30, 8, mask_zero=True)(inputs)
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.GRU(5)(x)))


def two():
    a, b = layers.Input((3,), name="a"), layers.Input((5,), name="b")
    normal = layers.Normalization()
    normal.adapt(np.random.default_rng(0).normal(2, 3, (50, 3)).astype("float32"))
    x = layers.Concatenate()([layers.Dense(4, activation="tanh")(normal(a)), layers.Dense(4, activation="mish")(b)])
    score = layers.Dense(3, name="score")(x)
    return keras.Model([a, b], {"label": layers.Dense(2, activation="softmax")(x), "score": score})


def nested():
    block = keras.Sequential(
        [layers.Input((8, 8, 4)), layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization()]
    )
    x = inner = layers.Input((8, 8, 4))
    head = keras.Model(inner, layers.Softmax()(layers.Dense(4)(layers.Flatten()(x))), name="head")
    x = inputs = layers.Input((8, 8, 1))
    return keras.Model(inputs, head(block(block(layers.Conv2D(4, 1)(x)))))


def shapes():
    inputs = layers.Input((4, 4, 4, 2))
    x = layers.GroupNormalization(3)(layers.Conv3D(3, 2, activation="elu")(inputs))
    x = layers.Conv1D(4, 3)(layers.Reshape((9, 9))(x))
    x = layers.TimeDistributed(layers.Dense(3, activation="selu"))(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(x)))


def one_layer(layer):
    inputs = layers.Input((4,))
    return keras.Model(inputs, layer(inputs))


def quantized():
    model = keras.Sequential([layers.Input((4,)), layers.Dense(3)])
    model.quantize("int8")
    return model


def stateful():
    return keras.Sequential([layers.Input((5, 3), batch_size=1), layers.LSTM(4, stateful=True)])


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


@keras.saving.register_keras_serializable("own")
class Scale(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer=keras.initializers.Constant(3.0))

    def call(self, inputs):
        return inputs * self.scale


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 3), np.float32))
    return model


WORKING = [residual, sequential, transformer, recurrent, two, nested, shapes]
REFUSED = {
    "grouped": lambda: one_layer(lambda x: layers.GroupQueryAttention(2, 2, 1)(x[:, None], x[:, None])),
    "hard": lambda: one_layer(lambda x: layers.LSTM(3, recurrent_activation="hard_sigmoid")(x[:, None])),
    "spectral": lambda: one_layer(layers.SpectralNormalization(layers.Dense(3))),
    "lambda": lambda: one_layer(layers.Lambda(lambda x: x * 2)),
    "median": lambda: one_layer(lambda x: keras.ops.median(x, axis=1)),
    "subclassed": subclassed,
    "quantized": quantized,
    "stateful": stateful,
    "own": lambda: one_layer(Scale()),
}


CALLS = 32  # with what acts in training, enough for its mean and spread
MORE = keras3_training.MODELS | keras3_operations.MODELS | keras3_layers.MODELS  # made when a test asks for them


def write(folder, name, model):
    rng = np.random.default_rng(0)  # whichever models were made before
    for weight in model.weights:  # initial ones are zeros and ones, which hide what is exchanged
        if name in keras3_layers.DEEP:  # where such numbers would grow without end
            weight.assign(weight + 0.02 * rng.normal(size=weight.shape))
        elif "int" not in weight.dtype and "normalization" not in weight.path.split("/")[0].replace("batch_n", ""):
            weight.assign(np.abs(rng.normal(size=weight.shape)) * 0.3 + 0.1)
    model.save(folder / f"{name}.keras")
    inputs = {}
    for place, tensor in enumerate(model.inputs):
        shape = (4, *tensor.shape[1:])
        drawn = rng.integers(0, 30, shape) if tensor.dtype == "int32" or "words" in name else rng.normal(size=shape)
        if name in keras3_layers.PADDED:
            drawn[0, 4 + place :] = drawn[1, : 2 + place] = keras3_layers.PADDED[name]
        inputs[tensor._keras_history.operation.name] = drawn.astype(tensor.dtype)
    given = list(inputs.values())
    stored = {f"in/{name}": array for name, array in inputs.items()}
    answers = keras.tree.flatten(model(given, training=False))
    stored |= {f"out/{i}": np.asarray(array) for i, array in enumerate(answers)}
    calls = zip(*(keras.tree.flatten(model(given, training=True)) for _ in range(CALLS)), strict=True)
    stored |= {f"train/{i}": np.stack(arrays) for i, arrays in enumerate(calls)}
    np.savez(folder / f"{name}.npz", **stored)


def make(folder):
    keras.utils.set_random_seed(0)
    for build in WORKING:
        write(folder, build.__name__, build())
    for name, build in REFUSED.items():
        build().save(folder / f"{name}.keras")
    keras.saving.get_custom_objects().clear()
    sequential().save(folder / "old.h5")
    sequential().export(folder / "exported", verbose=False)


def answer(folder, request):
    if name := request.get("make"):
        keras.utils.set_random_seed(0)
        write(folder, name, MORE[name]())
    else:
        os.chdir(request["cwd"])
        sys.argv[1:] = request["witness"]
        keras3_reader.main()


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main():
    folder = Path(sys.argv[1])
    make(folder)
    say("ready")
    for line in sys.stdin:
        try:
            answer(folder, json.loads(line))
            say("")
        except Exception as error:
            say(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
