"""Quantization-aware training takes what TFMOT takes: folded layers, several outputs, augmentation, models within."""

import numpy as np
import pytest


def quarters(count=240, side=12):
    """Images with one bright quarter, and which one it is."""
    rng = np.random.default_rng(0)
    label, half = rng.integers(0, 4, count), side // 2
    images = rng.uniform(0, 0.4, (count, side, side, 3)).astype(np.float32)
    for image, number in zip(images, label, strict=True):
        row, column = divmod(int(number), 2)
        image[row * half : (row + 1) * half, column * half : (column + 1) * half] += 0.6
    return images, label


def normalized(keras):
    """Convolutions of every kind, each with batch normalization behind it."""
    layers = keras.layers
    given = keras.Input((12, 12, 3), name="image")
    x = given
    for layer in (
        layers.Conv2D(16, 3, padding="same", use_bias=False),
        layers.DepthwiseConv2D(3, padding="same", use_bias=False),
        layers.SeparableConv2D(16, 3, padding="same"),
        layers.Conv2D(16, 1, use_bias=False),
    ):
        x = layers.ReLU()(layers.BatchNormalization()(layer(x)))
    x = layers.Flatten()(layers.MaxPooling2D(3)(x))
    return keras.Model(given, layers.Dense(4, activation="softmax")(x))


def two_heads(keras):
    given = keras.Input((12, 12, 3), name="image")
    x = keras.layers.Flatten()(keras.layers.Conv2D(8, 3, activation="relu")(given))
    age, label = keras.layers.Dense(1, name="age")(x), keras.layers.Dense(4, "softmax", name="label")(x)
    return keras.Model(given, [age, label])


def augmented(keras):
    layers = keras.layers
    steps = [layers.RandomTranslation(0.05, 0.05), layers.Rescaling(2.0), layers.Conv2D(8, 3, activation="relu")]
    return keras.Sequential(
        [keras.Input((12, 12, 3), name="image"), *steps, layers.Flatten(), layers.Dense(4, "softmax")]
    )


def nested(keras):
    layers = keras.layers
    inner = keras.Sequential([keras.Input((12, 12, 3)), layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D()])
    given = keras.Input((12, 12, 3), name="image")
    return keras.Model(given, layers.Dense(4, "softmax")(layers.Flatten()(inner(given))))


def separable(keras):
    """Over time, for which TFMOT puts layers of its own around those over places."""
    layers = keras.layers
    steps = [layers.Reshape((12, 36)), layers.SeparableConv1D(16, 3, activation="relu"), layers.Flatten()]
    return keras.Sequential([keras.Input((12, 12, 3), name="image"), *steps, layers.Dense(4, "softmax")])


@pytest.mark.slow
@pytest.mark.parametrize(
    "build", [normalized, two_heads, augmented, nested, separable], ids=lambda build: build.__name__
)
def test_what_tfmot_takes_is_trained_and_becomes_integers_throughout(run_case, write_data, build):
    import tf_keras as keras

    images, label = quarters()
    age = np.random.default_rng(1).normal(size=(len(label), 1)).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = build(keras)
    several = len(model.outputs) > 1
    write_data({"image": images}, label, **({"age": age} if several else {}))
    loss = ["mse", "sparse_categorical_crossentropy"] if several else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.003), loss)
    model.fit(images, [age, label] if several else label, epochs=15, batch_size=16, verbose=0)
    model.save("own.keras")
    aware = {"model": "baseline", "scheme": "int8", "aware_epochs": 3, "batch_size": 16}
    quantize = {"fp32": {"model": "baseline", "scheme": "float32"}, "aware": aware}
    case = run_case("own.keras", quantize=quantize, until="evaluate")
    card = case.card("artifacts", "aware")
    assert {tensor["dtype"] for tensor in (*card["inputs"], *card["outputs"])} == {"int8"}
    if several:
        assert {tensor["name"] for tensor in card["outputs"]} == {"age", "label"}
    assert case.quality("fp32") > 0.9
    assert case.quality("aware") > case.quality("fp32") - 0.1
