"""A part of a run: what one variant or one device needs, and nothing else."""

from pathlib import Path

import pytest

from flows.part import part
from tasks import params
from tasks.errors import ParamsError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def settings():
    return params.load(ROOT / "infra/presets/digits-cnn.yaml")


@pytest.fixture(scope="module")
def names(settings):
    """The stages of the preset by their words, as dvc.yaml has them."""
    alone = [("code",), ("sources", "data"), ("sources", "model"), ("prepare",), ("train",), ("report",)]
    words = [
        *alone,
        *(("compress", name) for name in settings.compress),
        *((stage, name) for name in settings.quantize for stage in ("quantize", "evaluate")),
        *((stage, name) for name in settings.benchmark.devices for stage in ("fingerprint", "bundle")),
        *(("benchmark", name, device) for name in settings.quantize for device in settings.benchmark.devices),
    ]
    return {each: "@".join(filter(None, (each[0], "-".join(each[1:])))) for each in words}


def test_a_variant_brings_the_reference_and_its_ancestors(settings, names):
    chosen = part(settings, ["pruned80-clustered16-int8"], ["host-cpu"])
    assert set(chosen.settings.quantize) == {"fp32", "pruned80-clustered16-int8"}
    assert set(chosen.settings.compress) == {"pruned80", "pruned80-clustered16"}
    found = chosen.stages(names, set(names.values()))
    assert {name for name in found if name.startswith("benchmark")} == {
        "benchmark@fp32-host-cpu",
        "benchmark@pruned80-clustered16-int8-host-cpu",
    }
    assert {"train", "prepare", "fingerprint@host-cpu", "compress@pruned80"} <= found
    assert not found & {"report", "quantize@int8", "fingerprint@ethos-u55-128"}


def test_a_device_alone_has_every_variant(settings, names):
    chosen = part(settings, [], ["ethos-u55-128"])
    assert chosen.settings.quantize == settings.quantize
    found = chosen.stages(names, set(names.values()))
    assert {name for name in found if name.startswith("benchmark")} == {
        f"benchmark@{variant}-ethos-u55-128" for variant in settings.quantize
    }


def test_what_is_up_to_date_is_not_looked_at_and_without_a_part_all_is(settings, names):
    whole = part(settings, [], [])
    assert whole.whole
    assert whole.settings is settings
    assert whole.stages(names, set(names.values())) == set(names.values())
    assert whole.stages(names, {"report"}) == {"report"}
    assert part(settings, ["int8"], []).stages(names, {"report", "bundle@host-cpu", "train"}) == {"train"}


@pytest.mark.parametrize(
    ("variants", "devices", "said"),
    [
        (["int9"], [], "--variant: received 'int9'; allowed: .*did you mean 'int8'"),
        ([], ["host-cpi"], "--device: received 'host-cpi'; allowed: .*did you mean 'host-cpu'"),
    ],
)
def test_a_part_that_is_not_there_is_told(variants, devices, said, settings):
    with pytest.raises(ParamsError, match=said):
        part(settings, variants, devices)
