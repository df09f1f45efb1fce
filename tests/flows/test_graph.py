"""The flow's order, written out by hand, is that of dvc.yaml: each stage waits for all that DVC says it needs."""

import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import networkx
import pytest
from dvc.repo import Repo

from flows import lanes, pipeline, seeds, stale
from flows.stages import Progress
from tasks import params, paths
from tasks.bench import devices

ROOT = Path(__file__).resolve().parents[2]
PRESETS = [*sorted(path.stem for path in (ROOT / "infra" / "presets").glob("*.yaml")), "smoke + seeds: [0, 1, 2]"]
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie


class Recorder:
    """In the place of `Graph`: runs nothing, and remembers what is submitted and what that waits for."""

    def __init__(self, bridge, _stale, _again, _carriers):
        self.names, self.progress = bridge.names, SimpleNamespace(bars=nullcontext())
        self.futures, self.needs, self.ended = {}, {}, []
        self.progress = Progress(())
        Recorder.last = self

    def submit(self, name, *keys, label, after=(), once_ended=()):
        address = self.names[(name, *keys)]
        assert address not in self.needs, f"{address} is submitted twice"
        self.needs[address] = {future.address for future in (*after, *once_ended)} | set(self.ended)
        wait = lambda: self.ended.append(address)  # noqa: E731 - a future of three words
        self.futures[label] = SimpleNamespace(address=address, label=label, name=name, keys=keys, wait=wait)
        return self.futures[label]

    def failures(self):
        self.ended = list(self.needs)
        return {}

    def refused(self):
        return {}


@pytest.fixture(params=PRESETS)
def submitted(request, project, monkeypatch):
    """What the flow submits for a preset, and DVC's own graph of it."""
    shutil.copytree(ROOT / "infra", project / "infra")
    shutil.copy(ROOT / "dvc.yaml", project)
    preset, _, more = request.param.partition(" + ")
    paths.PARAMS.write_text((paths.PRESETS / f"{preset}.yaml").read_text() + more)
    seeds.write(params.load())
    subprocess.run(["git", "init", "--quiet"], timeout=60, check=True)
    Repo.init(".").close()
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project / ".site"))
    monkeypatch.setattr(pipeline, "Graph", Recorder)
    monkeypatch.setattr(pipeline.carriers, "opened", lambda *_: nullcontext())  # which would ask a server
    monkeypatch.setattr(pipeline, "unfit", lambda *_: None)  # of a report that nobody writes
    monkeypatch.setattr(pipeline, "show_artifact", lambda: None)
    monkeypatch.setattr(pipeline, "publish", lambda _settings: None)
    with stale.known(stale.Work()):
        pipeline.pipeline.fn()
    with Repo(".") as repo, repo.lock:
        graph = networkx.relabel_nodes(repo.index.graph, lambda stage: stage.addressing)
    return Recorder.last, graph


def test_the_flow_submits_every_stage_once_and_no_other(submitted):
    flow, graph = submitted
    assert flow.needs.keys() == set(graph.nodes)


def test_a_stage_waits_for_all_that_it_needs(submitted):
    flow, graph = submitted
    order = networkx.DiGraph([(address, need) for address, needs in flow.needs.items() for need in needs])
    order.add_nodes_from(flow.needs)
    assert networkx.is_directed_acyclic_graph(order)
    for address in graph:
        missing = networkx.descendants(graph, address) - networkx.descendants(order, address)
        assert not missing, f"{address} does not wait for {missing}"


def test_a_measurement_waits_for_all_that_makes_the_machine_busy(submitted):
    flow, _ = submitted
    measured = set(filter(devices.here, params.load().benchmark.devices))
    benchmarks = [future for future in flow.futures.values() if future.name == "benchmark"]
    quiet = {future.address for future in benchmarks if future.keys[1] in measured}
    busy = {
        future.address for future in flow.futures.values() if future.name not in ("report", "bundle", "fingerprint")
    }
    lane = {future.address: lanes.of(future.name, *future.keys) for future in flow.futures.values()}
    for address in quiet:
        assert {each for each in lane if lane[each] is lane[address]} == quiet, "one by one, and nothing else meanwhile"
    for address in quiet:
        assert busy - quiet <= flow.needs[address]
