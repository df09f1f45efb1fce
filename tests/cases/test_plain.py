"""What works goes on working: a plain network of one's own through every stage."""

import numpy as np


def test_a_network_of_ones_own_keeps_what_keras_answers(run_case, write_data):
    import tf_keras as keras

    x = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    label = (x[:, 0] > 0).astype(np.int64)
    write_data({"x": x}, label)
    keras.utils.set_random_seed(0)
    given = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(512, activation="relu")(given)  # or a fast processor takes less than a clock does
    model = keras.Model(given, keras.layers.Dense(2, activation="softmax")(hidden))
    model.save("own.keras")
    case = run_case("own.keras", quantize={"fp32": {"model": "baseline", "scheme": "float32"}}, until="bundle")
    held = np.arange(len(label)) % 4 == 3
    assert case.quality("fp32") == np.mean(model(x[held]).numpy().argmax(-1) == label[held])
    measured = case.measurement("fp32", "host-cpu")
    assert (measured.status, measured.reason) == ("ok", None)
    assert (case.root / "out/bundles/host-cpu/manifest.json").is_file()
