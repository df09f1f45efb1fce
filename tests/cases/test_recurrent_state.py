"""Recurrent layers of every kind: a file answers each example as Keras does, whatever was asked before it."""

import json
import runpy

import numpy as np
import pytest

LENGTH, WIDTH, COUNT = 5, 2, 48


def networks(keras):
    """The last layers of a classifier of sequences, by name; some become fused operators with state, some loops."""
    layers = keras.layers
    return {
        "lstm": [layers.LSTM(8)],
        "stacked": [layers.LSTM(6, return_sequences=True), layers.LSTM(6)],
        "bidirectional": [layers.Bidirectional(layers.LSTM(5))],
        "backwards": [layers.LSTM(6, go_backwards=True)],
        "sequences": [layers.LSTM(4, return_sequences=True), layers.Flatten()],
        "gru": [layers.GRU(6)],
        "unrolled": [layers.LSTM(6, unroll=True)],
        "cell": [layers.RNN(layers.LSTMCell(6))],
    }


def remembering(keras, name):
    """A classifier with random weights that forgets slowly, and sequences on which it answers both classes."""
    keras.utils.set_random_seed(3)
    given = keras.Input((LENGTH, WIDTH), name="x")
    x = given
    for layer in networks(keras)[name]:
        x = layer(x)
    model = keras.Model(given, keras.layers.Dense(2, activation="softmax")(x))
    for variable in model.variables:
        units = variable.shape[-1] // 4
        if "bias" in variable.name and "lstm" in variable.name and len(variable.shape) == 1:
            variable.assign(variable + np.r_[np.zeros(units), np.full(units, 2.5), np.zeros(2 * units)])
    sequences = np.random.default_rng(0).normal(size=(COUNT, LENGTH, WIDTH)).astype(np.float32)
    head = model.layers[-1]
    kernel, _ = head.get_weights()
    logits = np.log(model(sequences).numpy()) @ [1, -1]
    head.set_weights([kernel, np.array([-0.5, 0.5]) * np.median(logits)])  # as often one as the other
    return model, sequences


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["lstm", "stacked", "bidirectional", "backwards", "sequences", "gru", "unrolled", "cell"]
)
def test_the_file_of_floats_is_keras_in_any_order(name, tmp_path):
    import tf_keras as keras

    from tasks.bench.predict import predict
    from tasks.examples import Arrays
    from tasks.quantize import litert

    model, sequences = remembering(keras, name)
    file = tmp_path / "model.tflite"
    file.write_bytes(litert.convert(model, "float32", None))
    for order in (np.arange(COUNT), np.random.default_rng(1).permutation(COUNT)):
        (found,) = predict(file, Arrays({"x": sequences[order]}, {}))[0].values()
        np.testing.assert_allclose(found, model(sequences[order]).numpy(), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_an_lstm_keeps_its_answers_through_every_scheme_runtime_and_bundle(run_case, write_data):
    import tf_keras as keras

    model, sequences = remembering(keras, "lstm")
    label = model(sequences).numpy().argmax(-1)
    write_data({"x": sequences}, label)
    model.save("own.keras")
    schemes = ("float32", "dynamic", "int8-weights", "int8")
    case = run_case(
        "own.keras",
        devices=("host-cpu", "stm32h743"),
        quantize={name: {"model": "baseline", "scheme": name} for name in schemes},
        until="bundle",
    )
    held = np.arange(COUNT) % 4 == 3
    assert case.quality("float32") == 1
    for scheme in schemes:
        assert case.quality(scheme) > 0.9
        measured = case.measurement(scheme, "stm32h743")
        assert all(score.value > 0.9 for score in measured.scores)
    script = runpy.run_path(str(case.root / "out/bundles/host-cpu/classify.py"))
    np.save("raw.npy", sequences[held])
    found = [line["index"] for line in script["classify"]("raw.npy")]
    shipped = json.loads((case.root / "out/bundles/host-cpu/manifest.json").read_text())
    assert np.mean(found == label[held]) == case.quality(shipped["variant"])
