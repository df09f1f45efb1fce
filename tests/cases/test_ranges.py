"""One scale for all numbers of a tensor: what it loses is told."""

import numpy as np
import pytest

from tests.cases.drawn import quarters

FP32 = {"model": "baseline", "scheme": "float32"}
INT8 = {"model": "baseline", "scheme": "int8"}


@pytest.mark.slow
def test_features_of_six_scales_lose_as_int8_what_their_one_scale_cannot_hold(run_case, write_data):
    """tensorflow #51501, #53069: the smallest feature, which tells the class, is less than one step of the input."""
    import tf_keras as keras

    rng = np.random.default_rng(0)
    sizes = 10.0 ** np.arange(-2, 4)
    label = rng.integers(0, 2, 240)
    x = rng.normal(size=(240, 6))
    x[:, 0] += 4 * label - 2
    x = (x * sizes).astype(np.float32)
    write_data({"x": x}, label)
    keras.utils.set_random_seed(0)
    normal = keras.layers.Normalization()
    normal.adapt(x)
    model = keras.Sequential([keras.Input((6,)), normal, keras.layers.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(x, label, epochs=10, verbose=0)
    model.save("own.keras")
    case = run_case("own.keras", quantize={"fp32": FP32, "int8": INT8}, until="evaluate")
    assert case.quality("fp32") > 0.9
    assert case.quality("int8") < 0.8
    assert case.card("artifacts", "int8")["distance"] > 0.3


@pytest.mark.slow
def test_what_one_loud_channel_costs_is_told_and_saved_by_exclusion(run_case, write_data):
    """tensorflow #23352, #56739: one channel 3,000 times the others, which the next layer takes back."""
    import tf_keras as keras

    x, label = quarters()
    write_data({"x": x}, label)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    convolutions = [layers.Conv2D(8, 3, activation="relu", name=name) for name in ("loud", "quiet")]
    model = keras.Sequential([keras.Input((12, 12, 3)), *convolutions, layers.Flatten(), layers.Dense(4, "softmax")])
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    model.fit(x, label, epochs=10, verbose=0)
    loud, quiet = (layer.get_weights() for layer in convolutions)
    loud[0][..., 0] *= 3000
    loud[1][0] = abs(loud[1][0]) * 3000 + 1
    quiet[0][:, :, 0] /= 3000
    convolutions[0].set_weights(loud)
    convolutions[1].set_weights(quiet)
    model.save("own.keras")
    drop = INT8 | {"max_quality_drop": 0.02}
    case = run_case("own.keras", quantize={"fp32": FP32, "int8": INT8, "drop": drop}, until="evaluate")
    assert case.quality("fp32") > 0.9
    assert case.quality("int8") < 0.8
    assert case.card("artifacts", "int8")["distance"] > 0.3
    assert case.quality("drop") >= case.quality("fp32") - 0.02
    assert "quiet" in case.card("artifacts", "drop")["excluded"]  # it reads one scale for all channels
