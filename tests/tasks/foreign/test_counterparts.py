"""Each layer of Keras 3 answers as in Keras 3: rebuilt, stored again and cloned, in graphs of any shape."""

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.foreign import load
from tasks.params import Stored
from tasks.training import fit, keras_files

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
tf = pytest.importorskip("tensorflow", reason="the training stack is not installed")
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
LAYERS = (
    "layers_of_a_series", "layers_of_an_image", "layers_of_a_volume", "words", "merged", "series",
    "words_as_floats", "structured", "named", "adapted",
)  # fmt: skip
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("mobile", "efficient", "convnext")]
PRECISIONS = {"mixed_float16": -10, "mixed_bfloat16": -7, "float16": -10, "bfloat16": -7, "float64": -23}  # 2 to that


@pytest.mark.parametrize("name", [*LAYERS, *LARGE])
def test_layers_answer_as_in_keras_3(made, name, tmp_path):
    fit.reset(0)
    path = made(name)
    model = load.load(Stored(source=str(path)))
    with np.load(path.with_suffix(".npz")) as stored:
        given = [stored[f"in/{name}"] for name in model.input_names]
        expected = [stored[f"out/{i}"] for i in range(len(model.outputs))]
    keras_files.save(model, tmp_path)
    again = keras.models.load_model(tmp_path / "model.h5", compile=False)
    copy = keras.models.clone_model(again)  # answers alike only where what was stored does
    copy.set_weights(again.get_weights())
    for network in (model, copy):
        answers = tf.nest.flatten(network(given if len(given) > 1 else given[0], training=False))
        for tensor, ours, theirs in zip(tf.nest.flatten(model.output), answers, expected, strict=True):
            assert ours.shape == theirs.shape, tensor.name
            scale = max(1.0, np.abs(theirs).max())
            np.testing.assert_allclose(ours / scale, theirs / scale, atol=1e-5, err_msg=tensor.name)


@pytest.mark.parametrize("name", ["gated_words", "gated_series"])
def test_what_only_padding_tells_apart_is_refused(made, name):
    """Of 5,000 words, or of normal numbers, hardly any is masked by chance."""
    fit.reset(0)
    with pytest.raises(ModelError, match=r"layer 'multiply\w*' answers otherwise in tf_keras than in Keras 3"):
        load.load(Stored(source=str(made(name))))


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_model_of_another_precision_computes_the_same_in_float32(made, name, caplog):
    """As near as its own numbers are to each other: four layers round one after the other."""
    fit.reset(0)
    path = made(name)
    model = load.load(Stored(source=str(path)))
    assert {weight.dtype.name for weight in model.weights} == {"float32"}
    assert {tensor.dtype.name for layer in model.layers for tensor in tf.nest.flatten(layer.output)} == {"float32"}
    assert name in caplog.text.partition("it computes in ")[2]
    with np.load(path.with_suffix(".npz")) as stored:
        given, expected = (next(stored[key] for key in stored.files if key.startswith(k)) for k in ("in/", "out/"))
    np.testing.assert_allclose(model(given, training=False), expected, atol=8 * 2.0 ** PRECISIONS[name])
