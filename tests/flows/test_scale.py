"""Planning grows with the pairs and no faster: what is counted is what is done for each, and no clock is asked."""

import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from dvc.repo import Repo
from dvc.stage.loader import StageLoader

from flows import pipeline, run
from flows.part import part
from flows.start import dvc_bridge
from flows.views.bars import UNKNOWN_S, Expected
from tasks import files, params, paths

ROOT = Path(__file__).resolve().parents[2]
DEVICES = ["ethos-u55-128", "ethos-u85-256", "host-cpu", "host-cpu-2t"]  # two are estimated, two are measured here


def write(variants):
    settings = yaml.safe_load((ROOT / paths.PRESETS / "smoke.yaml").read_text())
    settings["compress"] = {}
    settings["quantize"] = {f"v{i}": {"model": "baseline", "scheme": "float32"} for i in range(variants)}
    settings["benchmark"] |= {"reference": "v0", "devices": DEVICES}
    paths.PARAMS.write_text(yaml.safe_dump(settings, sort_keys=False))
    return params.load()


class Planned(pipeline.Graph):
    """Submits nothing, and remembers in order what each stage waits for."""

    def __init__(self, monkeypatch):
        names = defaultdict(str)  # of stages that are all up to date
        super().__init__(SimpleNamespace(names=names), ())
        self.needs = {}
        monkeypatch.setattr(pipeline, "stage", lambda *_, label, **_options: self._task(label))
        monkeypatch.setattr(pipeline, "quiet", self._task("quiet"))

    def _task(self, label):
        def submit(*_project, wait_for, **_options):
            self.needs.setdefault(label, []).extend(wait_for)
            return SimpleNamespace(label=label)

        return SimpleNamespace(submit=submit)


def planned(variants, monkeypatch):
    graph = Planned(monkeypatch)
    settings = write(variants)
    pipeline.measure(graph, settings, pipeline.compress(graph, settings))
    return graph.needs


@pytest.mark.usefixtures("project")
def test_what_stages_wait_for_grows_with_the_pairs(monkeypatch):
    sums = [sum(map(len, planned(n, monkeypatch).values())) for n in (10, 20, 40)]
    assert sums[2] - sums[1] == 2 * (sums[1] - sums[0])


@pytest.mark.usefixtures("project")
def test_a_measurement_here_waits_for_all_before_by_one_task(monkeypatch):
    needs = planned(5, monkeypatch)
    assert [each.label for each in needs["benchmark v3 @ host-cpu"]].count("quiet") == 1
    waited = {each.value.label for each in needs["quiet"]}
    assert waited >= {f"benchmark v{i} @ {device}" for i in range(5) for device in DEVICES[:3]}
    assert not any("host-cpu-2t" in label for label in waited)  # the last is waited for by nobody


@pytest.mark.usefixtures("project")
def test_no_device_keeps_the_others_waiting(monkeypatch):
    order = [label for label in planned(3, monkeypatch) if label.startswith("benchmark")]
    assert order[:4] == [f"benchmark v{i} @ {device}" for i in (0, 1) for device in DEVICES[:2]]
    assert order[-6:] == [f"benchmark v{i} @ {device}" for device in DEVICES[2:] for i in range(3)]


def test_a_first_plan_makes_no_object_of_dvc_for_a_stage(project, monkeypatch):
    shutil.copy(ROOT / "dvc.yaml", project)
    subprocess.run(["git", "init", "--quiet"], timeout=60, check=True)
    Repo.init(".").close()
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project / ".site"))
    write(30)
    made = []
    load = StageLoader.load_stage.__func__
    monkeypatch.setattr(StageLoader, "load_stage", classmethod(lambda *given: made.append(given[2]) or load(*given)))
    names = dvc_bridge.Project().names
    assert dvc_bridge.stale() == set(names.values())
    assert names["benchmark", "v7", "host-cpu-2t"] == "benchmark@v7-host-cpu-2t"
    assert len([words for words in names if words[0] == "benchmark"]) == 30 * len(DEVICES)
    assert made == []


@pytest.mark.usefixtures("project")
def test_a_terminal_gets_no_table_of_thousands(monkeypatch, capsys):
    monkeypatch.setattr(run, "MANY", 19)
    run._show(part(write(5), (), ()))  # of which there is no comparison
    assert capsys.readouterr().out == ""
    files.write_text(paths.REPORT / "comparison.json", "{}")
    run._show(part(write(5), (), ()))
    said = "20 pairs: `tercet compare --device NAME` shows those of one, out/report/index.html all\n"
    assert capsys.readouterr().out == said


def test_how_long_a_stage_takes_is_the_mean_of_its_kind():
    expected = Expected({"train": 8.0, "quantize@a": 1.0, "quantize@b": 2.0})
    expected.learn("quantize@b", 4.0)
    expected.learn("quantize@c", 7.0)
    assert [expected(name) for name in ("quantize@c", "quantize@d", "evaluate@a")] == [7.0, 4.0, 5.0]
    assert Expected({})("train") == UNKNOWN_S
