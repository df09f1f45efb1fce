"""Padding's vector of an averaged embedding is 0, stays so, and so costs nothing when weights are rounded."""

import numpy as np
import pytest

from tasks.compress import finetune
from tasks.examples import Arrays
from tasks.examples.dataset import Spec, TensorSpec
from tasks.models import bow
from tasks.params import Bow, Training
from tasks.params.compress import Finetune
from tasks.quantize import litert
from tasks.training import fit, padding

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
LENGTH, WORDS = 12, tuple(map(str, range(300)))
RNG = np.random.default_rng(0)
TOKENS = np.pad(RNG.integers(1, len(WORDS), (64, 4)), ((0, 0), (0, LENGTH - 4))).astype(np.int32)
DATA = Arrays({"text": TOKENS}, {"label": RNG.integers(0, 2, 64)})
FITTING = {"epochs": 2, "batch_size": 16, "optimizer": "adam", "learning_rate": 0.05}


def network(words=WORDS):
    fit.reset(0)
    tensor = TensorSpec((LENGTH,), "int32", len(WORDS), words=words)
    return bow.build(Bow(family="bow", embedding=8), Spec({"text": tensor}, ("a", "b")))


def vectors(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)).embeddings.numpy()


def answers(content, tokens):
    from ai_edge_litert.interpreter import Interpreter

    file = Interpreter(model_content=content, num_threads=1)
    file.allocate_tensors()
    file.set_tensor(file.get_input_details()[0]["index"], tokens)
    file.invoke()
    return file.get_tensor(file.get_output_details()[0]["index"])


def test_it_stays_0_through_every_training():
    model = network()
    before = vectors(model)
    assert not before[0].any()
    fit.fit(model, DATA, DATA, Training(**FITTING), label="test")
    trained = vectors(model)
    assert not trained[0].any()
    assert (trained[1:] != before[1:]).any()
    again, _ = finetune.apply(model, Finetune(method="finetune", parent="a", **FITTING), DATA, DATA, lambda *_: None)
    assert not vectors(again)[0].any()
    assert (vectors(again)[1:] != trained[1:]).any()


def test_what_is_averaged_most_has_no_error_of_rounding():
    """Of a text that is all padding the file of 8 bits says what Keras says; of others it does not, to the last bit."""
    model = network()
    fit.fit(model, DATA, DATA, Training(**FITTING), label="test")
    content = litert.convert(model, "dynamic", None)
    empty = np.zeros((1, LENGTH), np.int32)
    assert answers(content, empty) == pytest.approx(model(empty).numpy(), abs=1e-7)
    assert answers(content, TOKENS[:1]) != pytest.approx(model(TOKENS[:1]).numpy(), abs=1e-7)


def test_a_vector_that_is_not_0_is_trained():
    model = network(words=())  # numbers of something else, of which none pads
    before = vectors(model)
    assert before[0].any()
    assert not padding.held(model)
    fit.fit(model, DATA, DATA, Training(**FITTING), label="test")
    assert (vectors(model)[0] != before[0]).any()


def test_an_embedding_that_begins_as_nothing_but_0_is_trained():
    """As users' biases in a network of one's own, which are counted from 0."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Embedding(len(WORDS), 2, embeddings_initializer="zeros"), keras.layers.Flatten()]
    text = keras.Input((LENGTH,), dtype="int32", name="text")
    model = keras.Sequential([text, *layers, keras.layers.Dense(2, "softmax")])
    fit.fit(model, DATA, DATA, Training(**FITTING), label="test")
    assert vectors(model)[0].any()
