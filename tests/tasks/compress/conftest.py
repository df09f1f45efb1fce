"""Noise in the place of training, for what must hold whatever the training does."""

from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest

from tasks.compress import kernels
from tasks.errors import ModelError
from tasks.training import fit

BATCHES = 8


def _disturbed(model, train, validation, params, *, label, callbacks=(), on_epoch=None):
    """Noise on every weight, then the callbacks, batch by batch; no graph to build."""
    rng = np.random.default_rng(0)
    for _ in range(BATCHES):
        for weight in model.trainable_variables:
            weight.assign_add(rng.normal(scale=0.01, size=weight.shape))
        for callback in callbacks:
            callback.on_train_batch_end(0, {})
    return {}


def _eagerly(step):
    """For `kernels.compiled`: tracing a graph takes longer than these few batches."""
    step()
    return step


@contextmanager
def _disturbance():
    with mock.patch.object(fit, "fit", _disturbed), mock.patch.object(kernels, "compiled", _eagerly):
        yield


@pytest.fixture(scope="session")
def disturbance():
    """A context in which training is noise."""
    return _disturbance


@pytest.fixture
def disturb():
    """Training is noise throughout the test."""
    with _disturbance():
        yield


class _Own:
    """Mixed into a Keras layer: a matrix that may be compressed, and a table that may not."""

    def build(self, shape):
        self.table = self.add_weight("table", (shape[-1], shape[-1]))
        self.matrix = self.add_weight("matrix", (shape[-1], 5))

    def call(self, x):
        return x @ self.table @ self.matrix


@pytest.fixture
def of_own_layer():
    """A function that builds a model with a custom layer `own`, which has the methods given."""

    def build(**methods):
        import tf_keras as keras

        fit.reset(0)
        x = keras.Input((8,), name="x")
        y = type("Own", (_Own, keras.layers.Layer), methods)(name="own")(x)
        return keras.Model(x, keras.layers.Dense(3, activation="softmax", name="head")(y))

    return build


@pytest.fixture(scope="session")
def attempt(architectures):
    """A function for property tests: what a change makes of a model, or None where that is refused by name."""

    def changed(model, change):
        try:
            found = change(model)
        except ModelError as error:
            names = [model.name, *(layer.name for layer in model.layers)]
            assert any(f"'{name}'" in str(error) for name in names)  # noqa: PT017  # either outcome is fine
            return None
        inputs = architectures.examples(model, 4).inputs
        before, after = ([x] if not isinstance(x, list) else x for x in (model(inputs), found(inputs)))
        assert [one.shape for one in before] == [one.shape for one in after]
        assert all(np.all(np.isfinite(one)) for one in after)
        return found

    return changed
