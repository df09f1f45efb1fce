"""Measuring one layer at a time, and spending zeros where they cost least."""

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from tasks.compress import kernels, sensitivity
from tasks.examples import Arrays
from tasks.params import Prune
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
PARAMS = Prune(method="prune", parent="baseline", sparsity=0.5, epochs=1)


def model(classes=3):
    fit.reset(0)
    inputs = keras.Input((6,), name="x")
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="out")(hidden))


def examples(count=50, classes=3):
    rng = np.random.default_rng(0)
    return Arrays({"x": rng.normal(size=(count, 6)).astype(np.float32)}, {"label": rng.integers(0, classes, count)})


def by_hand(model, examples):
    """Cross-entropy and accuracy in NumPy."""
    (w1, b1), (w2, b2) = (layer.get_weights() for layer in model.layers[1:])
    logits = np.maximum(examples.inputs["x"] @ w1 + b1, 0) @ w2 + b2
    likely = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = examples.targets["label"]
    return -np.log(likely[np.arange(len(label)), label]).mean(), (likely.argmax(axis=1) == label).mean()


def test_the_quality_with_replaced_weights_and_the_own_ones_back():
    net, data = model(), examples()
    found = kernels.find(net, kernels.PRUNABLE)
    measure = sensitivity.measure(net, data, PARAMS)
    before = net.get_weights()
    assert measure([]) == pytest.approx(by_hand(net, data), rel=1e-5)
    zeroed = measure([(found[0], np.zeros((6, 8), np.float32))])
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))
    found[0].weight.assign(np.zeros((6, 8), np.float32))
    assert zeroed == pytest.approx(by_hand(net, data), rel=1e-5)


def test_many_examples_are_thinned_out_evenly(monkeypatch):
    monkeypatch.setattr(sensitivity, "EXAMPLES", 10)
    net, data = model(), examples(91)
    assert sensitivity.measure(net, data, PARAMS)([]) == pytest.approx(
        by_hand(net, data.take(np.arange(0, 91, 10))), rel=1e-5
    )


def test_values_are_judged_by_their_loss_as_a_share():
    fit.reset(0)
    inputs = keras.Input((4,), name="x")
    net = keras.Model(inputs, keras.layers.Dense(4, name="y")(inputs))
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(20, 4)).astype(np.float32) for _ in range(2))
    measure = sensitivity.measure(net, Arrays({"x": x}, {"y": y}), PARAMS)
    (kernel,) = kernels.find(net, kernels.PRUNABLE)
    assert measure([]).value == pytest.approx(-1)
    worse = measure([(kernel, kernel.weight.numpy() * 3)])
    assert worse.value == pytest.approx(-worse.loss / np.square(x @ kernel.weight.numpy() - y).mean(), rel=1e-5)


def curve(rng, start=0.0):
    shares = np.concatenate([[start], np.sort(rng.uniform(start, 0.98, 4)), [0.98]])
    slopes = np.sort(rng.exponential(size=5))  # rising: the curve is convex
    return list(zip(shares, 1 + np.concatenate([[0], np.cumsum(slopes * np.diff(shares))]), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_the_sum_of_losses_is_the_least_that_linear_programming_finds(seed):
    rng = np.random.default_rng(seed)
    curves = {name: curve(rng) for name in "abc"}
    sizes = {"a": 100, "b": 1000, "c": 5000}
    shares = sensitivity.allocate(curves, sizes, 0.7)
    assert sum(shares[n] * sizes[n] for n in sizes) / 6100 == pytest.approx(0.7)
    spent = sum(np.interp(shares[n], *zip(*curves[n], strict=True)) for n in curves)
    costs, weights, widths = [], [], []
    for name, points in curves.items():
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            costs.append((y1 - y0) / (x1 - x0))
            weights.append(sizes[name])
            widths.append((0, x1 - x0))
    best = linprog(costs, A_eq=[weights], b_eq=[0.7 * 6100], bounds=widths)
    assert spent == pytest.approx(3 + best.fun)


def test_what_is_gone_already_counts_and_never_comes_back():
    rng = np.random.default_rng(0)
    shares = sensitivity.allocate({"a": curve(rng, 0.6), "b": [(0.0, 1.0), (0.98, 1.0)]}, {"a": 500, "b": 500}, 0.7)
    assert shares == pytest.approx({"a": 0.6, "b": 0.8})


def test_a_curve_that_is_not_convex_is_taken_by_its_hull():
    curves = {"a": [(0.0, 1.0), (0.4, 2.0), (0.8, 1.0)], "b": [(0.0, 1.0), (0.4, 1.1), (0.8, 1.2)]}
    assert sensitivity.allocate(curves, {"a": 10, "b": 10}, 0.4) == pytest.approx({"a": 0.8, "b": 0.0})
