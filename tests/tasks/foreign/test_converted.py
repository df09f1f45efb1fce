"""Models of Keras 3 as LiteRT files: they answer as Keras 3 itself did, or are refused with what to do instead."""

import numpy as np
import pytest

from tasks.distance import apart
from tasks.errors import ConversionError
from tasks.examples import Arrays
from tasks.foreign import load
from tasks.params import Stored
from tasks.quantize import guard, litert
from tasks.training import fit

fit.import_tensorflow()  # before tf_keras, which would import Keras 3
pytest.importorskip("tf_keras", reason="the training stack is not installed")
WORKING = ("residual", "sequential", "transformer", "two", "nested", "shapes")
REFUSED = {"shapes": r"CONV_3D.* stayed float32, .*`exclude: \[.*use scheme dynamic"}  # as integers
APART = {  # what integers may be off by, of what the answers spread over; 0.15 elsewhere
    "nested": 0.6,  # with logits in the hundreds: a step of theirs moves a probability
    "transformer": 0.35,  # with probabilities from 0.11 to 0.34 alone, so that 0.035 is a quarter
}


def answered(content, examples, expected):
    """The largest distance of an output from what Keras 3 answered; outputs are told apart by their shapes."""
    found = guard.answers(content, examples)
    shapes = {array.shape: array for array in found.values()}
    assert len(shapes) == len(found) == len(expected)
    return max(apart(shapes[array.shape], array) for array in expected)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", WORKING)
def test_a_model_of_keras_3_answers_alike_as_floats_and_as_integers(files, name):
    fit.reset(0)
    model = load.load(Stored(source=str(files / f"{name}.keras")))
    with np.load(files / f"{name}.npz") as stored:
        examples = Arrays({key[3:]: stored[key] for key in stored.files if key.startswith("in/")}, {})
        expected = [stored[key] for key in stored.files if key.startswith("out/")]
    assert answered(litert.convert(model, "float32", None), examples, expected) < 1e-4
    if name in REFUSED:
        with pytest.raises(ConversionError, match=REFUSED[name]):
            litert.convert(model, "int8", examples)
    else:
        assert answered(litert.convert(model, "int8", examples), examples, expected) < APART.get(name, 0.15)
