"""Which channels go: the least important, in the shares asked for, and never all of a layer's."""

import numpy as np
import pytest

from tasks.channels import cost, selection
from tasks.channels.tracing import trace
from tasks.compress import slim
from tasks.errors import ModelError, ParamsError
from tasks.examples import Arrays
from tasks.params import Slim
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
layers = keras.layers


@pytest.fixture(autouse=True)
def _fresh():
    fit.reset(0)


def params(**keys):
    return Slim(**{"method": "slim", "parent": "baseline", "epochs": 0, "batch_size": 16, **keys})


def shrink(model, train, **keys):
    return slim.apply(model, params(**keys), train, train, lambda _epoch, _metrics: None)[0]


def share(model, slimmed):
    of = [sum(c.macs for c in cost.of(m).values()) for m in (slimmed, model)]
    return of[0] / of[1]


def images(count=48, classes=4):
    rng = np.random.default_rng(1)
    label = rng.integers(0, classes, count)
    image = rng.normal(size=(count, 8, 8, 3)).astype(np.float32)
    image[np.arange(count), label] += 1
    return Arrays({"image": image}, {"label": label})


def wide(seed=0):
    """Two convolutions of 16 and 32 channels whose l1 scores differ in scale."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.Conv2D(16, 3, name="a"),
            layers.Conv2D(32, 3, name="b"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax", name="output"),
        ]
    )
    rng = np.random.default_rng(seed)
    for name, scale in (("a", 100.0), ("b", 1.0)):
        kernel, bias = model.get_layer(name).get_weights()
        sizes = rng.permutation(np.linspace(1, 2, kernel.shape[-1]))
        model.get_layer(name).set_weights([np.sign(kernel) * scale * sizes, bias])
    return model


def test_the_least_important_go_first_and_layers_compare_whatever_their_scale():
    model = wide()
    slimmed = shrink(model, images(), keep=0.5, score="l1")
    old, new = (m.get_layer("a").get_weights()[0] for m in (model, slimmed))
    size = np.abs(old).sum(axis=(0, 1, 2))
    best = np.sort(np.argsort(size)[-new.shape[-1] :])
    np.testing.assert_array_equal(new, old[..., best])
    assert slimmed.get_layer("a").filters < 16  # though its scores are a hundred times b's
    assert slimmed.get_layer("b").filters < 32


def test_widths_are_multiples_of_powers_of_two_where_the_share_can_be_reached_so():
    slimmed = shrink(wide(), images(), keep=0.52, score="l1")
    assert (slimmed.get_layer("a").filters, slimmed.get_layer("b").filters) in {(8, 32), (16, 16)}
    finer = shrink(wide(), images(), keep=0.9, score="l1")  # none of these steps ends between 0.85 and 0.9
    assert 0.85 <= share(wide(), finer) <= 0.9


def test_taylor_takes_first_what_costs_the_least_loss_for_what_it_saves():
    """Greedy, so that no other choice of one unit has a lower sum of scores for each product saved."""
    model = wide()
    channels = trace(model)
    a, b = (channels.made[name] for name in "ab")
    scores = np.zeros(channels.groups)
    whole = cost.total(model, channels, channels.everything()).macs
    saved = [whole - cost.total(model, channels, selection.without(channels, [ids[:1]])).macs for ids in (a, b)]
    assert saved[0] > saved[1]  # a is read by b, at every place
    scales = slim._scales(model, channels, scores, params(keep=0.5, score="taylor"))
    assert scales == saved
    scores[a], scores[b] = 1.5 * saved[0], 1.0 * saved[1]
    first = selection.order(channels, scores, scales, "global", 1)[: 32 - 4]
    assert set(np.concatenate(first)) <= set(b)


def test_uniform_takes_the_same_share_of_every_layer():
    channels = trace(wide())
    scores = np.random.default_rng(0).random(channels.groups)
    units = selection.order(channels, scores, [1.0] * 2, "uniform", 1)
    for count in range(len(units)):
        kept = selection.without(channels, units[:count])
        a, b = (kept[channels.made[name]].mean() for name in "ab")
        assert abs(a - b) <= 1 / 16


def test_a_floor_stays_of_every_layer():
    channels = trace(wide())
    scores = np.ones(channels.groups)
    scores[channels.made["a"]] = 0
    kept = selection.without(channels, selection.order(channels, scores, [1.0] * 2, "global", 1))
    assert [np.count_nonzero(kept[channels.made[name]]) for name in "ab"] == [2, 4]
    with pytest.raises(ModelError, match=r"keep 0.01 .*0.125 of each layer"):
        shrink(wide(), images(), keep=0.01, score="l1")


def test_parameters_are_a_budget_too():
    model = wide()
    slimmed = shrink(model, images(), keep=0.4, budget="parameters", score="taylor")
    assert 0.35 <= slimmed.count_params() / model.count_params() <= 0.4


def test_widths_are_taken_at_their_word():
    slimmed = shrink(wide(), images(), widths={"a": 5, "b": 31})
    assert [slimmed.get_layer(name).filters for name in "ab"] == [5, 31]


DEVICE = """
kind: roofline
description: for the test
peak_gops: {float32: 0.01}
bandwidth_gb_s: 1
idle_w: 1
peak_w: 2
efficiency_low: 0.5
overhead_us_per_operator: 0
datasheet: none
"""


@pytest.mark.slow
def test_a_devices_estimate_is_a_budget(project):
    (project / "infra" / "devices").mkdir(parents=True)
    (project / "infra" / "devices" / "slow.yaml").write_text(DEVICE)
    model = wide()
    slimmed = shrink(model, images(), keep=0.5, budget="latency", device="slow", score="l1")
    assert 0.4 <= share(model, slimmed) <= 0.6  # bound by its products, so its time is nearly their share
    (project / "infra" / "devices" / "here.yaml").write_text(
        "kind: litert\ndescription: measured\nwatts_per_core: [1, 2, 3]\n"
    )
    with pytest.raises(ParamsError, match=r"'here', of kind 'litert'; only the kinds ethos-u, roofline"):
        shrink(model, images(), keep=0.5, budget="latency", device="here", score="l1")
