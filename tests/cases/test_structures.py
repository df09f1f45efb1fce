"""Networks of unusual structure through compression and int8: steps, mappings, a dead layer."""

import numpy as np
import pytest

FP32 = {"model": "baseline", "scheme": "float32"}
INT8 = {"model": "baseline", "scheme": "int8"}


def series(count=240, steps=12, channels=4):
    """Waves of three lengths in noise, float32 [count, steps, channels], and which length it is."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, count)
    waves = np.sin(np.arange(steps)[None, :, None] * (label[:, None, None] + 1) * 0.5)
    return (waves + rng.normal(0, 0.3, (count, steps, channels))).astype(np.float32), label


def fitted(keras, model, x, targets, loss="sparse_categorical_crossentropy", epochs=8):
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(x, targets, epochs=epochs, batch_size=16, verbose=0)
    model.save("own.keras")
    return model


def expected(model, x, label):
    held = np.arange(len(label)) % 4 == 3
    return np.mean(model.predict(x[held], verbose=0).argmax(-1) == label[held])


@pytest.mark.slow
def test_a_network_for_each_step_is_pruned_and_made_of_integers(run_case, write_data):
    import tf_keras as keras

    layers = keras.layers
    x, label = series()
    images = x.reshape(240, 3, 4, 4, 1)
    write_data({"x": images}, label)
    keras.utils.set_random_seed(0)
    steps = [keras.Input((4, 4, 1)), layers.Conv2D(8, 2, activation="relu"), layers.Flatten()]
    stack = [layers.TimeDistributed(keras.Sequential(steps)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input((3, 4, 4, 1), name="x"), *stack])
    right = expected(fitted(keras, model, images, label, epochs=4), images, label)
    pruned = {"parent": "baseline", "method": "prune", "sparsity": 0.5, "epochs": 1, "learning_rate": 0.001}
    quantize = {"fp32": FP32, "int8": INT8, "pruned": {"model": "pruned", "scheme": "int8"}}
    case = run_case("own.keras", compress={"pruned": pruned}, quantize=quantize, until="evaluate")
    assert case.quality("fp32") == right > 0.8
    assert min(case.quality("int8"), case.quality("pruned")) > right - 0.15


@pytest.mark.slow
def test_outputs_in_a_mapping_are_learned_and_kept_by_their_names(run_case, write_data):
    import tf_keras as keras

    layers = keras.layers
    x, label = series()
    mean = x.mean((1, 2))[:, None]
    write_data({"photo": x}, label, mean=mean)
    keras.utils.set_random_seed(0)
    given = keras.Input((12, 4), name="photo")
    h = layers.Flatten()(layers.Conv1D(16, 3, activation="relu")(given))
    model = keras.Model(
        {"photo": given}, {"label": layers.Dense(3, activation="softmax")(h), "mean": layers.Dense(1)(h)}
    )
    losses = {"label": "sparse_categorical_crossentropy", "mean": "mse"}
    fitted(keras, model, {"photo": x}, {"label": label, "mean": mean}, losses)
    held = np.arange(240) % 4 == 3
    right = np.mean(model.predict({"photo": x[held]}, verbose=0)["label"].argmax(-1) == label[held])
    slim = {"parent": "baseline", "method": "slim", "keep": 0.7, "epochs": 1, "learning_rate": 0.001}
    quantize = {
        "fp32": FP32,
        "int8": INT8,
        "mse": INT8 | {"ranges": "mse"},
        "slim": {"model": "slim", "scheme": "int8"},
    }
    case = run_case("own.keras", compress={"slim": slim}, quantize=quantize, until="evaluate")
    assert case.quality("fp32") == right > 0.9
    for name in ("int8", "mse", "slim"):
        assert case.quality(name) > right - 0.1, name
        assert {tensor["name"] for tensor in case.card("artifacts", name)["outputs"]} == {"label", "mean"}


@pytest.mark.slow
def test_channels_of_a_layer_that_answers_nothing_are_the_first_to_go(run_case, write_data):
    import tf_keras as keras

    layers = keras.layers
    x, label = series()
    write_data({"x": x}, label)
    keras.utils.set_random_seed(0)
    given = keras.Input((12, 4), name="x")
    dead = layers.Conv1D(32, 3, activation="relu", bias_initializer=keras.initializers.Constant(-1e4), name="dead")
    h = layers.Concatenate()([dead(given), layers.Conv1D(32, 3, activation="relu")(given)])
    model = keras.Model(given, layers.Dense(3, activation="softmax")(layers.Flatten()(h)))
    right = expected(fitted(keras, model, x, label), x, label)
    slim = {"parent": "baseline", "method": "slim", "keep": 0.7, "epochs": 1, "learning_rate": 0.001}
    quantize = {"fp32": FP32, "slim": {"model": "slim", "scheme": "float32"}}
    case = run_case("own.keras", compress={"slim": slim}, quantize=quantize, until="evaluate")
    assert case.card("models", "slim")["parameters"] <= 0.75 * case.card("models", "baseline")["parameters"]
    assert case.quality("slim") > right - 0.05
