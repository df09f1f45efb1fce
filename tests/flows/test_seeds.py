"""The stages of further seeds: beside the graph of the first, by DVC and by the flow alike, and gone with them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from flows import by_dvc, seeds, stale
from flows.part import part
from flows.start import dvc_bridge
from flows.tidy import left
from tasks import dvc_lock, params, paths
from tasks.errors import TercetError

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie


@pytest.fixture
def smoke(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project on the preset `smoke`, of one seed."""
    (project / "infra").symlink_to(ROOT / "infra")
    shutil.copy(ROOT / "dvc.yaml", project)
    shutil.copy(ROOT / "infra/presets/smoke.yaml", paths.PARAMS)
    subprocess.run(["git", "init", "--quiet"], timeout=60, check=True)
    Repo.init(".").close()
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project / ".site"))
    return project


def asked(*seeds: int) -> params.Params:
    """params.yaml by these seeds."""
    given = yaml.safe_load(paths.PARAMS.read_text()) | {"seeds": list(seeds)}
    paths.PARAMS.write_text(yaml.safe_dump(given, sort_keys=False))
    return params.load()


def names() -> dict[tuple[str, ...], str]:
    return dvc_bridge.Project().names


def test_one_seed_changes_nothing(smoke: Path) -> None:
    before = names()
    assert not seeds.write(params.load())
    assert not seeds.write(asked(0))
    assert not paths.SEEDS.exists()
    assert names() == before


def test_a_further_seed_has_stages_of_its_own(smoke: Path) -> None:
    before = names()
    assert seeds.write(asked(0, 1))
    assert not seeds.write(params.load()), "once it is written, it is right"
    found = names()
    assert {words: found[words] for words in before} == before
    new = found.keys() - before.keys()
    assert {words for words in new if words[0] in ("train", "compress")} == {
        ("train", "baseline-s1"), ("compress", "pruned50-s1"), ("compress", "pruned50-clustered8-s1"),
    }  # fmt: skip
    assert len(new) == 3 + 2 * 3 + 3 * 2
    with Repo(".") as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages}
        own = stages[found["benchmark", "int8-s1", "host-cpu"]]
        assert {"out/artifacts/int8-s1", "out/artifacts/fp32-s1"} <= {dep.def_path for dep in own.deps}
        trained = stages[found["train", "baseline-s1"]]
        assert "out/code/train.baseline-s1.json" in {dep.def_path for dep in trained.deps}
        (out,) = trained.outs
        assert Path(out.fs_path) == smoke / "out/models/baseline-s1"
        pruned = stages[found["compress", "pruned50-s1"]]
        assert [dep.params for dep in pruned.deps if dep.def_path == "params.yaml"] == [["compress.pruned50"]]


def test_what_a_project_adds_to_its_stages_is_there_too(smoke: Path) -> None:
    whole = yaml.safe_load(Path("dvc.yaml").read_text())
    whole["stages"]["quantize"]["do"]["deps"].append("own.txt")
    Path("dvc.yaml").write_text(yaml.safe_dump(whole))
    (smoke / "own.txt").touch()
    seeds.write(asked(0, 1))
    with Repo(".") as repo:
        own = [stage for stage in repo.index.stages if "quantize-s1" in stage.addressing]
    assert len(own) == 3
    assert all("own.txt" in {dep.def_path for dep in stage.deps} for stage in own)


def test_they_go_with_their_seeds(smoke: Path) -> None:
    seeds.write(asked(0, 1))
    lock = paths.SEEDS / "dvc.lock"
    lock.write_text("schema: '2.0'\nstages:\n  a:\n    cmd: b\n")
    dvc_lock.keep()
    assert seeds.write(asked(0))
    assert not paths.SEEDS.exists()
    assert not list(paths.STATE.glob("*seeds*"))


def test_dvc_alone_is_told_once_that_the_seeds_are_others(smoke: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(by_dvc, "call", lambda *words: called.append(words))
    monkeypatch.setattr(by_dvc, "quiet_libraries", lambda: paths.STATE.mkdir(exist_ok=True))
    monkeypatch.setattr(by_dvc, "log_to_terminal", lambda: None)
    asked(0, 1)
    with pytest.raises(TercetError, match=r"^seeds/dvc.yaml was of other parameters, .* seeds 0, 1: `dvc repro` once"):
        by_dvc.stage("code")
    by_dvc.stage("code")
    assert called == [("code",)]


def test_a_look_writes_them(smoke: Path) -> None:
    asked(0, 1)
    found = stale.look(params.load())
    assert "seeds/dvc.yaml:train-s1@baseline-s1" in found
    assert paths.code("train.baseline-s1").exists()


def test_a_variant_is_asked_for_with_its_seeds_and_one_seed_by_its_name(smoke: Path) -> None:
    settings = asked(0, 1, 2)
    seeds.write(settings)
    known = names()
    whole = part(settings, ["int8"], ["host-cpu"]).stages(known, set(known.values()))
    assert {words[1] for words, name in known.items() if name in whole and words[0] == "benchmark"} == {
        f"{name}{end}" for name in ("fp32", "int8") for end in ("", "-s1", "-s2")
    }
    one = part(settings, ["int8-s2"], ["host-cpu"]).stages(known, set(known.values()))
    made = {words for words, name in known.items() if name in one and words[0] in ("train", "benchmark")}
    assert made == {
        ("train",), ("train", "baseline-s2"), ("benchmark", "fp32", "host-cpu"),
        ("benchmark", "fp32-s2", "host-cpu"), ("benchmark", "int8-s2", "host-cpu"),
    }  # fmt: skip


def test_what_seeds_have_made_is_not_left_over(smoke: Path) -> None:
    settings = asked(0, 1)
    for name in ("baseline", "baseline-s1", "pruned50-s1", "baseline-s2"):
        paths.model(name).mkdir(parents=True)
    assert [path.name for path in left(settings)] == ["baseline-s2"]


def test_their_lock_is_put_right_as_the_other_one(smoke: Path) -> None:
    seeds.write(asked(0, 1))
    lock = paths.SEEDS / "dvc.lock"
    whole = "schema: '2.0'\nstages:\n  a:\n    cmd: b\n  c:\n    cmd: d\n"
    lock.write_text(whole)
    dvc_lock.keep()
    lock.write_text(whole[:30])
    said = dvc_lock.restore()
    assert said is not None
    assert said.startswith("seeds/dvc.lock was cut short")
    assert lock.read_text() == whole


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_two_seeds_from_training_to_the_report(make_clone, outcomes) -> None:
    """By `tercet run` all is made once; `dvc repro` finds nothing to do; a further seed makes that alone."""
    clone = make_clone()

    def change(given: dict) -> None:
        given["seeds"] = [0, 1]
        given["benchmark"]["devices"] = ["ethos-u55-128"]

    clone.change(lambda given: change(given) or given.pop("seeds"))
    clone.run("tercet", "run")
    first = clone.lock()
    clone.change(change)
    ran = outcomes(clone.run("tercet", "run"))["ran"]
    own = {label for label in ran if "-s1" in label}
    assert {"train baseline-s1", "prune pruned50-s1", "quantize int8-s1", "evaluate int8-s1"} <= own
    assert {label.split()[0] for label in ran - own} <= {"code", "sources", "fingerprint", "report", "bundle"}
    second = clone.lock()
    for name in ("train", "compress@pruned50", "quantize@int8", "evaluate@int8", "benchmark@int8-ethos-u55-128"):
        assert second[name] == first[name]
    assert "up to date" in clone.run("dvc", "repro")
    assert "up to date" in clone.run("tercet", "run")
    hashes = clone.hashes("out/models/baseline", "out/models/baseline-s1")
    assert hashes["out/models/baseline/model.h5"] != hashes["out/models/baseline-s1/model.h5"]
    clone.change(lambda given: given.update(seeds=[0, 1, 2]))
    assert "`dvc repro` once more" in clone.run("dvc", "repro", code=255)
    said = clone.run("dvc", "repro")
    assert "tercet stage train baseline-s2" in said
    assert "tercet stage train baseline-s1" not in said
    assert "3 seeds" not in clone.run("tercet", "compare", "--json")
    assert '"int8-s2"' in clone.run("tercet", "compare", "--json")
