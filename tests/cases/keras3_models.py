"""Makes models by Keras 3, in a process of its own: `keras3_models.py FOLDER NAME…`.

Beside each `<name>.keras` lies `<name>.npz`: the examples `x`, their `label`, what Keras 3 answers to them, `answers`,
and of the model that goes on training the last `loss` there.
"""

import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

COUNT, SIDE = 240, 12
MORE = {"epochs": 15, "learning_rate": 0.002, "batch_size": 32}  # how test_keras3.py trains on, too
RNG = np.random.default_rng(0)


def images(side=SIDE):
    """One quarter of each is bright; which one is the label."""
    label, half = RNG.integers(0, 4, COUNT), side // 2
    x = RNG.uniform(0, 0.4, (COUNT, side, side, 3)).astype(np.float32)
    for image, number in zip(x, label, strict=True):
        row, column = divmod(int(number), 2)
        image[row * half : (row + 1) * half, column * half : (column + 1) * half] += 0.6
    return x, label


def pixels():
    """The same as bytes."""
    x, label = images(32)
    return np.round(x * 255).astype(np.uint8), label


def series():
    """Waves of three lengths in noise; which length is the label."""
    label = RNG.integers(0, 3, COUNT)
    x = RNG.standard_normal((COUNT, 12, 4)) * 0.3
    return (x + np.sin(np.arange(12)[None, :, None] * (label[:, None, None] + 1) * 0.5)).astype(np.float32), label


def rows():
    """Few examples that a wide network learns by heart, unless its dropout acts."""
    label = RNG.integers(0, 2, COUNT)
    x = RNG.standard_normal((COUNT, 40)).astype(np.float32)
    x[:, :4] += 0.35 * (2 * label[:, None] - 1)
    return x, label


def operations():
    x = given = layers.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 3, activation="silu", padding="same")(x)
    x = x * ops.sigmoid(ops.mean(x, axis=(1, 2), keepdims=True))
    x = ops.concatenate([x, 1.0 - x], axis=-1)[:, 1:-1, 1:-1, :]
    x = ops.reshape(x, (-1, (SIDE - 2) ** 2 * 16))
    return keras.Model(given, layers.Dense(4, activation="softmax")(x))


def many_layers():
    x = given = layers.Input((SIDE, SIDE, 3))
    x = layers.LeakyReLU(negative_slope=0.1)(layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3)(x)))
    x = layers.PReLU(shared_axes=[1, 2])(layers.SeparableConv2D(8, 3, padding="same")(x))
    x = layers.GroupNormalization(4)(layers.Conv2DTranspose(8, 3, strides=2, padding="same")(x))
    x = layers.AveragePooling2D(4)(layers.UpSampling2D(2, interpolation="bilinear")(x))
    x = layers.Conv2D(8, 3, activation="hard_silu")(layers.Conv2D(8, 3, activation="hard_sigmoid")(x))
    x = layers.LayerNormalization()(layers.Flatten()(layers.SpatialDropout2D(0.1)(layers.GaussianNoise(0.1)(x))))
    x = layers.UnitNormalization()(layers.ELU()(layers.Dense(16, activation="gelu")(x)))
    return keras.Model(given, layers.Dense(4, activation="softmax")(x))


def mobile():
    """Of keras.applications, with squeezes, excitations and hard_silu; its averages follow a short training."""
    model = keras.applications.MobileNetV3Small((32, 32, 3), 0.35, weights=None, classes=4, dropout_rate=0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.8
    return model


def recurrent():
    x = given = layers.Input((12, 4))
    x = layers.LSTM(8)(layers.GRU(8, return_sequences=True)(x))
    return keras.Model(given, layers.Dense(3, activation="softmax")(x))


def dropout():
    x = given = layers.Input((40,))
    for _ in range(2):
        x = layers.Dropout(0.8)(layers.Dense(256, activation="relu")(x))
    return keras.Model(given, layers.Dense(2, activation="softmax")(x))


MODELS = {  # how it is built, its examples, for how many epochs it learns them
    "operations": (operations, images, 6),
    "recurrent": (recurrent, series, 15),
    "dropout": (dropout, rows, 5),
    "many_layers": (many_layers, images, 20),
    "mobile": (mobile, pixels, 12),
}


def older(path):
    """The file as Keras 3.0 to 3.6 wrote it, where the initializer of recurrent layers had another name."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    changed = members["config.json"].replace(b'"Orthogonal"', b'"OrthogonalInitializer"')
    assert changed != members["config.json"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"config.json": changed}).items():
            archive.writestr(name, content)


def fit(model, x, label, epochs, learning_rate=0.005):
    model.compile(keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy")
    return model.fit(x, label, epochs=epochs, batch_size=MORE["batch_size"], verbose=0).history["loss"][-1]


def make(folder, name):
    build, data, epochs = MODELS[name]
    keras.utils.set_random_seed(0)
    (x, label), model = data(), build()
    fit(model, x, label, epochs)
    stored = {"x": x, "label": label, "answers": model.predict(x, verbose=0)}
    model.save(folder / f"{name}.keras")
    if name == "recurrent":
        older(folder / f"{name}.keras")
    if name == "dropout":
        stored["loss"] = fit(model, x, label, MORE["epochs"], MORE["learning_rate"])
    np.savez(folder / f"{name}.npz", **stored)


if __name__ == "__main__":
    for chosen in sys.argv[2:]:
        make(Path(sys.argv[1]), chosen)
