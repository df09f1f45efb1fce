"""A truth value is no number, though YAML makes one of `yes` and Python takes it for 1."""

from pathlib import Path

import pytest
import yaml

from tasks import params, paths
from tasks.errors import ParamsError

PRESET = Path(__file__).resolve().parents[3] / "infra/presets/smoke.yaml"


def loaded(section, key, value):
    values = yaml.safe_load(PRESET.read_text())
    inner = values
    for name in section:
        inner = inner[name]
    inner[key] = "HERE"
    paths.PARAMS.write_text(yaml.safe_dump(values).replace("HERE", value))
    return params.load()


@pytest.mark.parametrize(
    ("section", "key", "value", "shown"),
    [
        (["train"], "epochs", "yes", True),
        (["train"], "learning_rate", "off", False),
        (["model"], "filters", "[4, on]", True),
        (["compress", "pruned50"], "sparsity", "yes", True),
        (["compress", "pruned50"], "layers", "{conv2d: no}", False),
        (["quantize", "int8"], "seed", "true", True),
    ],
)
def test_it_is_told_by_its_key(section, key, value, shown, project):
    with pytest.raises(ParamsError) as caught:
        loaded(section, key, value)
    where = ".".join([*section, key])
    said = f"{where}: received {shown}; no truth value expected, as which YAML reads yes, no, on and off too"
    assert str(caught.value) == f"params.yaml: {said}"


def test_it_is_taken_where_one_is_meant(project):
    assert loaded(["model"], "batch_norm", "yes").model.batch_norm is True


def test_a_number_in_quotes_is_one(project):
    """YAML takes 1e-3, which has no point, for a text."""
    assert loaded(["train"], "learning_rate", "1e-3").train.learning_rate == 0.001
