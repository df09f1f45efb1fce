"""Mixed precision: products are rounded where the processor multiplies bfloat16, and nowhere and at no other time."""

import numpy as np
import pytest

from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, TEACHER
from tasks.params import Training
from tasks.params.compress import Finetune
from tasks.training import fit, precision
from tasks.training.asked import Asked

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
fit.import_tensorflow()
import tensorflow as tf  # noqa: E402  # without Keras 3, as in the stages

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 256)
DATA = Arrays({"x": (RNG.normal(size=(256, 64)) + LABELS[:, None]).astype(np.float32)}, {LABEL: LABELS})


def fitted(**keys):
    """The history of a fitting and the weights that it ends with."""
    fit.reset(3)
    inputs = keras.Input((64,), name="x")
    hidden = keras.layers.Dense(128, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(hidden))
    history = fit.fit(model, DATA, DATA, Training(epochs=4, batch_size=64, **keys), label="test")
    return history["loss"], model.get_weights()


@pytest.fixture(scope="module")
def plain():
    return fitted()


@pytest.mark.skipif(not precision.able(), reason="no hardware: the processor does not multiply bfloat16")
def test_products_are_rounded_while_it_is_fitted(plain):
    loss, weights = fitted(precision="mixed")
    assert not np.array_equal(weights[0], plain[1][0])
    assert {w.dtype for w in weights} == {np.dtype("float32")}
    assert loss[-1] < 0.8 * loss[0]
    assert np.allclose(loss, plain[0], rtol=0.05)
    x, y = (tf.constant(RNG.normal(size=(64, 64)), tf.float32) for _ in range(2))
    product = tf.function(tf.matmul)(x, y)
    assert np.allclose(product, x.numpy().astype(np.float64) @ y.numpy(), atol=1e-4), "afterwards nothing is rounded"


def test_without_the_instructions_it_is_not_chosen(plain, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    assert not precision.able()
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags : fpu avx2 avx512f avx_vnni\n")
    loss, weights = fitted(precision="mixed")
    assert all(np.array_equal(a, b) for a, b in zip(weights, plain[1], strict=True))
    assert loss == plain[0]
    assert "this processor does not multiply bfloat16; all is computed in float32" in caplog.text
    (tmp_path / "cpuinfo").write_text("processor : 0\nflags : fpu avx2 avx512_bf16\n")
    assert precision.able()


@pytest.mark.skipif(not precision.able(), reason="no hardware: the processor does not multiply bfloat16")
@pytest.mark.parametrize(("asked", "apart"), [("mixed", 0), ("float32", 2)])
def test_a_teacher_s_products_are_rounded_too(asked, apart):
    """Its weights of 1 and of 1 + 2^-9 are one bfloat16; of 64 inputs of 16 they make scores that are 2 apart."""

    def network(kernel):
        inputs = keras.Input((64,), name="x")
        model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inputs))
        model.set_weights([kernel, np.zeros(2)])
        return model

    fit.reset(0)
    given = Arrays({"x": np.full((8, 64), 16, np.float32)}, {LABEL: np.zeros(8, np.int64)})
    taught = given.also({TEACHER: Asked(network(np.tile([1, 1 + 2**-9], (64, 1))))})
    keys = {"method": "finetune", "parent": "a", "teacher": "a", "teacher_weight": 1, "temperature": 1, "epochs": 1}
    student = network(np.zeros((64, 2)))
    history = fit.fit(student, taught, given, Finetune(**keys, learning_rate=1e-12, precision=asked), label="taught")
    answers = np.exp([0, apart]) / np.exp([0, apart]).sum()
    assert history["loss"][0] == pytest.approx((answers * np.log(2 * answers)).sum(), abs=1e-5)
    assert "train_step" not in vars(student), "fitted once more it asks nobody"
