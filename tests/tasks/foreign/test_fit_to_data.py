"""A model of one's own and the data: same network, the data's names and shapes, probabilities; or what does not fit."""

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.examples.dataset import Spec, TensorSpec
from tasks.foreign.fit_to_data import adapt
from tasks.training import fit

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
CLASSES = ("a", "b", "c")
IMAGES = Spec({"image": TensorSpec((8, 8, 1), "float32")}, CLASSES)
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def clean():
    fit.reset(0)


def network(shape=(8, 8, 1), *, last="softmax", units=3, dtype="float32", name="pixels", **more):
    inputs = keras.Input(shape, dtype=dtype, name=name, **more)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    return keras.Model(inputs, keras.layers.Dense(units, last, name="out")(x), name="net")


def examples(count=6):
    return RNG.random((count, 8, 8, 1), np.float32)


@pytest.mark.parametrize("shape", [(8, 8, 1), (None, None, 1)])
@pytest.mark.parametrize("size", [None, 1, 32])
def test_one_input_gets_the_datas_name_and_open_axes_its_size(shape, size):
    model = network(shape, batch_size=size)
    found = adapt(model, IMAGES, "file")
    assert found.input_names == ["image"]
    assert found.input_shape == (None, 8, 8, 1)
    assert [layer.name for layer in found.layers[1:]] == [layer.name for layer in model.layers[1:]]
    images = examples()
    for weight, kept in zip(found.weights, model.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), kept.numpy())
    if size is None:
        np.testing.assert_array_equal(found({"image": images}).numpy(), model(images).numpy())


def test_a_sequential_model_stays_one():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    found = adapt(model, IMAGES, "file")
    assert type(found) is keras.Sequential
    assert found.input_names == ["image"]
    images = examples()
    np.testing.assert_array_equal(found.predict({"image": images}, verbose=0), model.predict(images, verbose=0))


def test_a_model_that_fits_is_left_alone():
    model = network(name="image")
    assert adapt(model, IMAGES, "file") is model


def pair(names=("left", "right"), outputs=None):
    a, b = (keras.Input((size,), name=name) for name, size in zip(names, (2, 3), strict=True))
    joined = keras.layers.Concatenate()([a, b])
    label = keras.layers.Dense(3, "softmax")(joined)
    score = keras.layers.Dense(1, name="score")(joined)
    given = {"label": label, "score": score} if outputs is None else outputs(label, score)
    return keras.Model({"one": a, "two": b} if names[0] == "right" else [a, b], given)


BOTH = Spec({"left": TensorSpec((2,), "float32"), "right": TensorSpec((3,), "float32")}, CLASSES)


def test_several_inputs_are_matched_by_name_and_outputs_by_their_keys():
    model = pair()
    given = {"right": RNG.random((4, 3), np.float32), "left": RNG.random((4, 2), np.float32)}
    expected = model(given)
    found = adapt(model, BOTH, "file")
    assert found.output_names == ["label", "score"]
    answers = dict(zip(found.output_names, found(given), strict=True))
    for key, answer in answers.items():
        np.testing.assert_array_equal(answer.numpy(), expected[key].numpy())


def test_inputs_in_a_mapping_are_known_by_the_names_of_the_data():
    spec = Spec({"right": TensorSpec((2,), "float32"), "left": TensorSpec((3,), "float32")}, CLASSES)
    model = pair(("right", "left"))
    a, b = RNG.random((4, 2), np.float32), RNG.random((4, 3), np.float32)
    expected = model({"one": a, "two": b})["label"].numpy()
    found = adapt(model, spec, "file")
    np.testing.assert_array_equal(found({"right": a, "left": b})[0].numpy(), expected)


def test_logits_are_followed_by_a_softmax(caplog):
    model = network(last=None)
    found = adapt(model, IMAGES, "file")
    assert "file: it ends in logits; a softmax follows them" in caplog.text
    images = examples()
    logits = model(images).numpy().astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found({"image": images}).numpy(), expected, atol=1e-6)


WORDS = Spec({"text": TensorSpec((6,), "int32", 50)}, CLASSES)


def words(vocabulary):
    inputs = keras.Input((6,), dtype="int64")
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(vocabulary, 4)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, "softmax")(x))


def test_token_numbers_take_the_datas_type_and_must_be_known_to_the_model():
    assert adapt(words(50), WORDS, "file").inputs[0].dtype == "int32"
    with pytest.raises(ModelError, match=r"^file: cannot run on the data: .*"):
        adapt(words(20), WORDS, "file")


@pytest.mark.parametrize(
    ("build", "spec", "reason"),
    [
        (lambda: network((9, 8, 1)), IMAGES, r"input 'pixels' takes \[9, 8, 1\]; the data has \[8, 8, 1\]"),
        (lambda: network((8, 8, 3)), IMAGES, r"takes \[8, 8, 3\]; the data has \[8, 8, 1\]"),
        (lambda: network(units=5), IMAGES, r"output 'out' gives \[5\]; the data's classes ask for \[3\]"),
        (lambda: network(last="sigmoid"), IMAGES, r"'out' gives .* as of several labels at once; in scope"),
        (lambda: words(50), IMAGES, r"takes \[6\]; the data has \[8, 8, 1\]"),
        (lambda: pair(("x", "right")), BOTH, r"takes the inputs x, right; the data has left, right; .*by name"),
        (lambda: network(), BOTH, r"takes the inputs pixels; the data has left, right"),
        (lambda: pair(outputs=lambda a, b: [a, b]), BOTH, r"gives dense, score; .* the class is called 'label'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_both_sides(build, spec, reason):
    with pytest.raises(ModelError, match=rf"^file: .*{reason}") as caught:
        adapt(build(), spec, "file")
    assert "\n" not in str(caught.value)


def test_integers_are_no_pixels():
    model = keras.Sequential([keras.Input((8, 8, 1), dtype="uint8"), keras.layers.Rescaling(1 / 255)])
    with pytest.raises(ModelError, match="takes uint8; the data has float32"):
        adapt(model, IMAGES, "file")


def test_a_reconstruction_has_the_shape_of_the_input():
    spec = Spec({"image": TensorSpec((8, 8, 1), "float32")}, ("normal", "odd"), "reconstruction")
    inputs = keras.Input((8, 8, 1))
    same = keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same")(inputs))
    assert adapt(same, spec, "file").input_names == ["image"]
    with pytest.raises(ModelError, match=r"gives \[\(6, 6, 1\)\]; a reconstruction has the shape of the input"):
        adapt(keras.Model(inputs, keras.layers.Conv2D(1, 3)(inputs)), spec, "file")


def test_where_every_token_is_told_each_place_has_its_scores():
    spec = Spec({"text": TensorSpec((6,), "int32", 50)}, tuple(map(str, range(50))), "language")
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(50, 4)(inputs)
    found = adapt(keras.Model(inputs, keras.layers.Dense(50)(embedded)), spec, "file")
    assert (found.input_names, found.output_shape) == (["text"], (None, 6, 50))
    with pytest.raises(ModelError, match=r"gives \[\(6, 7\)\]; a score of each token at each place .*\[6, 50\]"):
        adapt(keras.Model(inputs, keras.layers.Dense(7)(embedded)), spec, "file")
    with pytest.raises(ModelError, match="gives probabilities; the scores before the softmax are expected"):
        adapt(keras.Model(inputs, keras.layers.Dense(50, "softmax")(embedded)), spec, "file")
