"""Padding in random examples: in every input, at either end, never the whole of an example."""

import numpy as np
import pytest

from tasks.examples.dataset import Spec, TensorSpec
from tasks.foreign import answers, padding
from tasks.training import fit

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")


@pytest.mark.parametrize("positions", [2, 3, 8, 64])
@pytest.mark.parametrize("further", [(), (3,)])
def test_examples_end_or_begin_with_padding(positions, further):
    found = []
    for place in (0, 1):
        examples = np.ones((4, positions, *further))
        padding.pad(examples, (0.0,), place)
        kept = examples.reshape(4, positions, -1)
        assert (kept == kept[..., :1]).all()  # a position is padding as a whole
        found.append(kept[..., 0])
    for each in found:
        assert each.any(axis=1).all()
        assert each[0, 0] == 1 == each[1, -1]
        assert each[0, -1] == 0 == each[1, 0]
        assert each[2].all()
    if positions > 3:
        assert (found[0][0] != found[1][0]).any()  # two masks differ


def test_what_has_no_positions_stays():
    for examples in (np.ones(4), np.ones((4, 1))):
        padding.pad(examples, (0.0,), 0)
        assert examples.all()


def test_floats_are_padded_where_a_layer_masks_them():
    x = inputs = keras.Input((5, 3))
    assert padding.kept_out(keras.Model(inputs, x), real=True) == ()
    inner = keras.Sequential([keras.layers.Masking(-1.0), keras.layers.Dense(2)])
    model = keras.Model(inputs, inner(keras.layers.Masking(7.0)(x)))
    assert padding.kept_out(model, real=True) == (-1.0, 7.0)
    assert padding.kept_out(model, real=False) == (0,)
    examples = np.ones((4, 5, 3))
    padding.pad(examples, (-1.0, 7.0), 0)
    assert set(np.unique(examples)) == {-1.0, 1.0, 7.0}


def test_examples_of_the_data_are_padded_too():
    tokens, steps = keras.Input((6,), dtype="int32", name="tokens"), keras.Input((6, 2), name="steps")
    model = keras.Model([tokens, steps], [keras.layers.Embedding(9, 2)(tokens), keras.layers.Masking(-1.5)(steps)])
    spec = Spec({"tokens": TensorSpec((6,), "int32", 5000), "steps": TensorSpec((6, 2), "float32")}, ("a", "b"))
    words, numbers = answers.examples(model, spec)
    assert words[0, -1] == 0 == words[1, 0]
    assert (numbers[0, -1] == -1.5).all()
    assert (numbers[1, 0] == -1.5).all()


def test_floats_that_number_words_are_whole():
    inputs = keras.Input((6,), name="tokens")
    model = keras.Model(inputs, keras.layers.Embedding(50, 2)(inputs))
    (examples,) = answers.examples(model, Spec({"tokens": TensorSpec((6,), "float32")}, ("a", "b")))
    assert set(np.unique(examples)) <= set(range(50))
    assert len(np.unique(examples)) > 10
    (found,) = answers.of(model, [examples], "file")
    np.testing.assert_array_equal(found, model.get_weights()[0][examples.astype(int)])
