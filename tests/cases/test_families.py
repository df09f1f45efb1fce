"""Quantization-aware training of families of Tercet's own that have batch normalization, to integers throughout."""

import numpy as np
import pytest

from tasks.models import mobilenet_v2
from tests.cases.drawn import quarters

FAMILIES = {
    "cnn": {"filters": [8, 16], "dense": [], "batch_norm": True},
    "resnet": {"filters": [8, 8, 16]},
    "dscnn": {"filters": 16, "blocks": 1},
    "mobilenet_v1": {"width": 0.25},
    "mobilenet_v2": {"width": 0.25},
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_with_batch_normalization_is_trained_to_integers(run_case, write_data, family, monkeypatch):
    monkeypatch.setattr(mobilenet_v2, "STACKS", mobilenet_v2.STACKS[:3])  # all take TFMOT minutes, of the same blocks
    images, label = quarters(side=32)
    write_data({"image": images}, label)
    quantize = {
        "fp32": {"model": "baseline", "scheme": "float32"},
        "aware": {"model": "baseline", "scheme": "int8", "aware_epochs": 1, "batch_size": 16},
    }
    case = run_case(
        model={"family": family, **FAMILIES[family]},
        train={"epochs": 8, "batch_size": 16, "learning_rate": 0.005},
        quantize=quantize,
        until="evaluate",
    )
    card = case.card("artifacts", "aware")
    assert {tensor["dtype"] for tensor in (*card["inputs"], *card["outputs"])} == {"int8"}
    assert case.quality("aware") > case.quality("fp32") - 0.15


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_autoencoder_is_trained_to_integers(run_case, write_data):
    """Normal examples lie in a plane of few dimensions, and anomalous ones anywhere."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 240)
    x = np.tanh(rng.normal(size=(240, 3)) @ rng.normal(size=(3, 16)))
    x = np.where(label[:, None], rng.uniform(-1, 1, x.shape), x).astype(np.float32)
    write_data({"x": x}, label, classes=["normal", "anomalous"])
    prepare = {"source": "npz", "path": "data", "validation": 0.2, "calibration": 50, "seed": 0}
    case = run_case(
        prepare={**prepare, "task": "reconstruction"},
        model={"family": "autoencoder", "hidden": [32], "latent": 4},
        train={"epochs": 20, "batch_size": 16, "learning_rate": 0.005},
        quantize={
            "fp32": {"model": "baseline", "scheme": "float32"},
            "aware": {"model": "baseline", "scheme": "int8", "aware_epochs": 1, "batch_size": 16},
        },
        until="evaluate",
    )
    card = case.card("artifacts", "aware")
    assert {tensor["dtype"] for tensor in (*card["inputs"], *card["outputs"])} == {"int8"}
    assert case.quality("aware") > case.quality("fp32") - 0.15
