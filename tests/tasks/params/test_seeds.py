"""What `seeds` writes out: every entry that is trained, once for each, and nothing for one alone."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import params
from tasks.code.hangs import everything
from tasks.errors import ParamsError
from tasks.params import Params
from tasks.params.seeds import by_seed, references, replicas, seen_by

SMOKE = Path(__file__).resolve().parents[3] / "infra" / "presets" / "smoke.yaml"
NAMES = ["fp32", "int8", "pruned50-clustered8-int8"]


def loaded(tmp_path: Path, **changes: Any) -> Params:
    """The preset `smoke` with other sections, read from a file."""
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SMOKE.read_text()) | changes, sort_keys=False))
    return params.load(path)


def test_each_entry_is_there_once_for_each_seed(tmp_path: Path) -> None:
    found = loaded(tmp_path, seeds=[0, 7])
    assert list(found.quantize) == [*NAMES, *(f"{name}-s7" for name in NAMES)]
    assert found.baselines == ("baseline", "baseline-s7")
    again = found.compress["pruned50-clustered8-s7"]
    assert (again.parent, again.seed) == ("pruned50-s7", 7)
    assert found.compress["pruned50-s7"].parent == "baseline-s7"
    assert {entry.model for name, entry in found.quantize.items() if name.endswith("-s7")} == {
        "baseline-s7",
        "pruned50-clustered8-s7",
    }
    assert found.ancestors("pruned50-clustered8-s7") == ["pruned50-s7", "baseline-s7"]
    assert replicas(found)["int8-s7"] == ("int8", 7)


def test_the_first_seed_is_what_there_was_before(tmp_path: Path) -> None:
    plain, several = loaded(tmp_path), loaded(tmp_path, seeds=[0, 1, 2])
    first = by_seed(several)[0]
    assert (first.quantize, first.compress, first.train) == (plain.quantize, plain.compress, plain.train)
    assert loaded(tmp_path, seeds=[0]).model_copy(update={"seeds": None}) == plain
    assert everything(loaded(tmp_path, seeds=[0])) == everything(plain), "no stage hangs from it"
    both = everything(several)
    assert {name: both[name] for name in everything(plain) if name != "report"} == {
        name: value for name, value in everything(plain).items() if name != "report"
    }


def test_one_seed_is_that_of_every_entry(tmp_path: Path) -> None:
    given = yaml.safe_load(SMOKE.read_text())
    del given["train"]["seed"]
    found = loaded(tmp_path, seeds=[3], train=given["train"])
    assert found.train.seed == 3
    assert {entry.seed for entry in (*found.compress.values(), *found.quantize.values())} == {3}
    assert found.prepare.seed == 0, "data are prepared once"


def test_each_seed_stands_by_itself(tmp_path: Path) -> None:
    parts = by_seed(loaded(tmp_path, seeds=[0, 1, 2]))
    assert [part.train.seed for part in parts] == [0, 1, 2]
    assert [part.benchmark.reference for part in parts] == ["fp32", "fp32-s1", "fp32-s2"]
    assert [list(part.quantize) for part in parts] == [[name + end for name in NAMES] for end in ("", "-s1", "-s2")]
    assert [len(part.baselines) for part in parts] == [1, 2, 2]


def test_a_stage_sees_its_own_seed(tmp_path: Path) -> None:
    found = loaded(tmp_path, seeds=[0, 1])
    assert seen_by(found, "int8", "host-cpu") is found
    assert seen_by(found, "int8-s1", "host-cpu").benchmark.reference == "fp32-s1"
    assert seen_by(found, "baseline-s1").train.seed == 1
    assert references(found)["pruned50-clustered8-int8-s1"] == "fp32-s1"
    assert references(found)["int8"] == "fp32"


def test_a_teacher_is_of_the_same_seed(tmp_path: Path) -> None:
    student = {"parent": "pruned50", "teacher": "baseline", "method": "distill", "epochs": 1}
    pruned = {"parent": "baseline", "method": "prune", "sparsity": 0.5, "epochs": 1}
    quantize = {name: {"model": "baseline", "scheme": "float32"} for name in ("fp32",)}
    found = loaded(tmp_path, seeds=[0, 1], compress={"pruned50": pruned, "taught": student}, quantize=quantize)
    assert (found.compress["taught-s1"].parent, found.compress["taught-s1"].teacher) == ("pruned50-s1", "baseline-s1")


def test_what_no_seed_changes_is_there_once(tmp_path: Path) -> None:
    """A baseline that comes trained, and what is made of it without chance; a training that begins there varies."""
    compress = {
        "halved": {"parent": "baseline", "method": "factorize", "epochs": 0},
        "tuned": {"parent": "halved", "method": "finetune", "epochs": 1},
        "drawn": {"parent": "baseline", "method": "slim", "epochs": 0, "keep": 0.5},
    }
    models = ("baseline", *compress)
    quantize = {f"{model}-32": {"model": model, "scheme": "float32"} for model in models}
    quantize["aware"] = {"model": "baseline", "scheme": "int8", "aware_epochs": 1}
    benchmark = {"reference": "baseline-32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}}
    given = {"train": {"epochs": 0}, "model": {"family": "file", "source": "my.keras"}, "bundle": {}}
    found = loaded(tmp_path, seeds=[0, 1], compress=compress, quantize=quantize, benchmark=benchmark, **given)
    assert found.baselines == ("baseline",)
    assert set(replicas(found)) == {"tuned-s1", "tuned-32-s1", "drawn-s1", "drawn-32-s1", "aware-s1"}
    assert found.compress["tuned-s1"].parent == "halved"
    assert references(found)["tuned-32-s1"] == "baseline-32"
    assert list(by_seed(found)[1].quantize) == ["baseline-32", "tuned-32-s1", "drawn-32-s1", "aware-s1"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": [4, 5]}, r"train\.seed: received 0; `seeds` says the seed of every entry, of this one 4: leave it"),
        ({"seeds": []}, "seeds: received .*"),
        ({"seeds": [1, 1]}, "seeds: received 1 twice"),
        ({"seeds": [0, -1]}, r"seeds\.1: received -1"),
        ({"seeds": "all"}, "seeds: received 'all'"),
        (
            {
                "seeds": [0, 1],
                "quantize": {name: {"model": "baseline", "scheme": "float32"} for name in ("fp32", "a-s1")},
            },
            "a-s1: a name that ends so stands for seed 1 of `seeds`; rename it",
        ),
        (
            {"compress": {"baseline-s1": {"parent": "baseline", "method": "finetune", "epochs": 1}}},
            "the name 'baseline-s1' is taken by the trained model",
        ),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError, match=said) as raised:
        loaded(tmp_path, **changes)
    assert "\n" not in str(raised.value)
