"""Limits that are worth few examples are told."""

import pytest

from tasks.params import Params
from tasks.quality import limits


@pytest.fixture
def params() -> Params:
    return Params.model_validate(
        {
            "name": "study",
            "prepare": {"source": "digits"},
            "model": {"family": "cnn"},
            "train": {"epochs": 5},
            "compress": {"longer": {"parent": "baseline", "method": "finetune", "epochs": 5}},
            "quantize": {name: {"model": "baseline", "scheme": name} for name in ("float32", "int8")},
            "benchmark": {"reference": "float32", "devices": ["host-cpu", "ethos"], "protocol": {"mode": "quick"}},
            "bundle": {},
        }
    )


def test_a_limit_worth_fewer_than_ten_examples_is_told_by_its_key(params: Params) -> None:
    values = params.model_dump(mode="json", exclude_defaults=True)
    values["compress"]["auto"] = {"parent": "baseline", "method": "cluster", "clusters": "auto", "epochs": 1}
    values["quantize"]["int8"]["max_quality_drop"] = 0.02
    values["bundle"] = {"default": {"max_quality_drop": 0.01}, "budgets": {"host-cpu": {"max_quality_drop": 0.0}}}
    changed = Params.model_validate(values)
    told = list(limits.notes(changed, "accuracy", 600))
    assert [note.partition(":")[0] for note in told] == [
        "compress.auto.tolerance",  # 0.002: 1.2 examples
        "bundle.default.max_quality_drop",  # 6
        "bundle.budgets.host-cpu.max_quality_drop",  # 0; quantize.int8's 0.02 is 12
    ]
    assert told[1].endswith(
        "0.01 is worth 6.0 of 600 validation examples; to show that nothing was lost takes about 270 of them."
    )
    assert told[2].endswith("a limit of 0 is worth 0.0 of 600 validation examples.")
    assert len(list(limits.notes(changed, "accuracy", 5000))) == 1  # a limit of 0 is never worth any
    assert not list(limits.notes(changed, "auc", 600))


def test_a_default_that_no_device_takes_is_not_told(params: Params) -> None:
    values = params.model_dump(mode="json", exclude_defaults=True)
    roomy = {"max_quality_drop": 0.5}
    values["bundle"] = {
        "default": {"max_quality_drop": 0.01},
        "budgets": dict.fromkeys(params.benchmark.devices, roomy),
    }
    assert not list(limits.notes(Params.model_validate(values), "accuracy", 100))
