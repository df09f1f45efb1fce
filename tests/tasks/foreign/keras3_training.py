"""Models of Keras 3 that answer otherwise while they train, for `keras3_files.py`."""

import keras
from keras import layers

SHAPE = (8, 8, 32)
NOISE = {  # each acts on every image by itself, and in training alone
    "dropout": lambda: layers.Dropout(0.5),
    "by_channel": lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, 32)),
    "spatial": lambda: layers.SpatialDropout2D(0.5),
    "gaussian_noise": lambda: layers.GaussianNoise(0.7),
    "gaussian_dropout": lambda: layers.GaussianDropout(0.5),
    "alpha": lambda: layers.AlphaDropout(0.5),
    "normal": lambda: layers.BatchNormalization(momentum=0.9),
    "flip": lambda: layers.RandomFlip(),
    "turn": lambda: layers.RandomRotation(0.3),
    "zoom": lambda: layers.RandomZoom(0.4),
    "shift": lambda: layers.RandomTranslation(0.3, 0.3),
    "contrast": lambda: layers.RandomContrast(0.1),
}


def functional(**training):
    x = inputs = layers.Input(SHAPE)
    return keras.Model(inputs, [make()(x, **training) for make in NOISE.values()])


def sequential():
    return keras.Sequential([layers.Input(SHAPE), layers.GaussianNoise(1.0), layers.Dropout(0.5)])


def steps():
    """What acts within a layer, or on a whole series."""
    x = inputs = layers.Input((8, 16))
    attended = layers.MultiHeadAttention(2, 8, dropout=0.5)(x, x)
    recurrent = layers.LSTM(16, dropout=0.5)(x)
    within = layers.Bidirectional(layers.GRU(16, dropout=0.5, reset_after=False))(x)
    each = layers.TimeDistributed(layers.Dropout(0.5))(x)
    return keras.Model(inputs, [attended, recurrent, within, each, layers.SpatialDropout1D(0.5)(x)])


def nested(inner, **training):
    x = inputs = layers.Input(SHAPE)
    return keras.Model(inputs, inner()(layers.Rescaling(1.0)(x), **training))


def wide():
    """A network that learns a few examples by heart unless its dropout acts."""
    x = inputs = layers.Input((40,))
    for _ in range(2):
        x = layers.Dropout(0.8)(layers.Dense(256, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


MODELS = {
    "noise": functional,
    "noise_off_by_the_user": lambda: functional(training=False),
    "noise_on_by_the_user": lambda: functional(training=True),
    "noise_in_sequence": sequential,
    "noise_in_steps": steps,
    "noise_nested": lambda: nested(functional),
    "noise_nested_off": lambda: nested(functional, training=False),
    "noise_nested_sequence_off": lambda: nested(sequential, training=False),
    "wide": wide,
}
