"""Noise in the place of training, for what must hold whatever the training does."""

from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest

from tasks import fit
from tasks.compress import kernels

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
