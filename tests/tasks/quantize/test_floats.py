"""The float32 file of a decoder is made once, and others are made of it where their weights lie in it by themselves."""

from functools import partial

import numpy as np
import pytest

from tasks.distance import apart
from tasks.examples import Arrays
from tasks.formats import tflite
from tasks.params import Quantize
from tasks.quantize import floats, guard, language, litert
from tests import decoders

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
ENTRY = Quantize(model="baseline", scheme="float32", prefill=(4,), room=16)


@pytest.fixture(scope="module")
def contents():
    """Real files, by what distinguishes their weights."""
    found = {}
    for name in ("own", "other"):
        floats._forget()
        found[name] = language.make(model(name), ENTRY).content
    return found


def model(name):
    """The decoder; of `other` weights in a matrix, a norm and the table."""
    keras.backend.clear_session()  # or its layers would be counted on, and be called otherwise
    made = decoders.built()
    if name == "other":
        rng = np.random.default_rng(3)
        for variable in made.weights:
            if any(part in variable.name for part in ("layer_0_up/kernel", "layer_0_feed_norm", "embedding")):
                variable.assign(rng.normal(1, 0.1, variable.shape))
    return made


def of(own, form, convert):
    return floats.of(own, form, convert, partial(language._says, own))


class Converter:
    """Counts how often it is asked."""

    def __init__(self, content):
        self.content, self.asked = content, 0

    def __call__(self):
        self.asked += 1
        return self.content


@pytest.fixture
def begun(contents):
    """The file of `own` has been made."""
    floats._forget()
    assert of(model("own"), ["form"], Converter(contents["own"])) == contents["own"]


def stored(content):
    return sorted(bytes(buffer.data) for buffer in tflite.objects(content).buffers if buffer.data is not None)


@pytest.mark.usefixtures("begun")
def test_the_same_weights_are_the_same_file(contents):
    convert = Converter(b"")
    assert of(model("own"), ["form"], convert) == contents["own"]
    assert convert.asked == 0


@pytest.mark.usefixtures("begun")
def test_other_weights_make_the_file_that_the_converter_would_make(contents):
    convert = Converter(b"")
    assert stored(of(model("other"), ["form"], convert)) == stored(contents["other"])
    assert convert.asked == 0
    assert stored(contents["own"]) != stored(contents["other"])


@pytest.mark.usefixtures("begun")
def test_another_form_is_converted(contents):
    convert = Converter(contents["other"])
    assert of(model("other"), ["another"], convert) == contents["other"]
    assert convert.asked == 1


def test_weights_that_were_alike_and_part_are_converted(contents):
    alike, apart = model("own"), model("own")
    for variable in alike.weights:
        if variable.name.startswith(("layer_0_feed_norm", "layer_0_attention_norm")):
            variable.assign(np.full(variable.shape, 0.5))
    floats._forget()
    of(alike, ["form"], Converter(contents["own"]))
    convert = Converter(b"converted")
    assert of(apart, ["form"], convert) == b"converted"


def test_a_file_that_answers_otherwise_is_not_believed(contents):
    """As if a weight had gone into other constants too: what differs is found in the file, and is not all there is."""
    floats._forget()
    changed = model("own")
    of(changed, ["form"], Converter(contents["other"]))
    (kernel,) = (variable for variable in changed.weights if variable.name.startswith("layer_0_down/kernel"))
    kernel.assign(kernel * 2)
    assert of(changed, ["form"], Converter(b"converted")) == b"converted"


def test_halves_are_the_float16_of_all_that_is_multiplied_or_looked_up(contents, monkeypatch):
    """By numpy; and the converter is not asked again."""
    floats._forget()
    own = model("own")
    assert language.make(own, ENTRY).content == contents["own"]
    monkeypatch.setattr(litert, "converted", Converter(b""))
    made = language.make(own, ENTRY.model_copy(update={"scheme": "float16"})).content
    kept = set(stored(made))
    matrices = decoders.matrices(own)
    assert len(matrices) == 6, "those of one layer, and the table, which gives the scores"
    assert all(matrix.astype(np.float16).tobytes() in kept for matrix in matrices)
    assert len(made) < 0.6 * len(contents["own"])
    assert apart(*(answers(content, own) for content in (made, contents["own"]))) < 5e-3


def answers(content, own):
    _, calls, _ = language.described(content, own)
    given = Arrays({own.input_names[0]: np.arange(own.input_shape[1], dtype=np.int32)[None]}, {})
    (found,) = guard.answers(content, given, calls, language.everywhere(own)).values()
    return found
