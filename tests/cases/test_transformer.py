"""Transformer blocks of one's own: integers throughout, smaller networks, and an accelerator's compiler."""

import numpy as np
import pytest

from tests.cases.drawn import held, waves

COUNT = 400
SMALLER = {
    "slim": {"method": "slim", "keep": 0.6, "epochs": 3},
    "clustered": {"method": "cluster", "clusters": 16, "epochs": 1},
    "factorized": {"method": "factorize", "energy": 0.7, "epochs": 1},
}
DEVICE = "ethos-u55-128"


def blocks(keras):
    """Two blocks; a convolution tells steps of a sequence apart, which attention alone takes for a set."""
    layers = keras.layers
    x = given = keras.Input((16, 4), name="x")
    x = layers.Conv1D(16, 3, padding="same")(x)
    for _ in range(2):
        attended = layers.MultiHeadAttention(4, 4, dropout=0.1)(x, x)
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, attended]))
        wide = layers.Dense(16)(layers.Dense(32, activation="gelu")(x))
        x = layers.LayerNormalization()(layers.Add()([x, layers.Dropout(0.1)(wide)]))
    return keras.Model(given, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_transformer_keeps_what_keras_answers_and_becomes_smaller(run_case, write_data):
    """model-optimization #718; tensorflow #61796."""
    import tf_keras as keras

    x, label = waves(COUNT, 16)
    write_data({"x": x}, label)
    keras.utils.set_random_seed(0)
    model = blocks(keras)
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(x, label, epochs=8, batch_size=16, verbose=0)
    right = np.mean(model.predict(x[held(COUNT)], verbose=0).argmax(-1) == label[held(COUNT)])
    model.save("own.keras")
    smaller = {name: {"parent": "baseline", "learning_rate": 0.001, **method} for name, method in SMALLER.items()}
    quantize = {scheme: {"model": "baseline", "scheme": scheme} for scheme in ("float32", "int8", "int8-weights")}
    quantize |= {name: {"model": name, "scheme": "int8"} for name in SMALLER}
    case = run_case("own.keras", devices=(DEVICE,), quantize=quantize, compress=smaller)
    assert case.quality("float32") == right > 0.9
    assert case.card("artifacts", "float32")["distance"] < 1e-3
    for variant in quantize:
        assert case.quality(variant) > right - 0.15, variant
    for variant in ("int8", *SMALLER):
        measured = case.measurement(variant, DEVICE)
        assert measured.status == "ok", measured.reason
    parameters = {name: case.card("models", name)["parameters"] for name in ("baseline", "slim", "factorized")}
    assert parameters["slim"] < 0.8 * parameters["baseline"]
    assert parameters["factorized"] < parameters["baseline"]
