"""Two machines with clones of the project, which trade through the S3 store: network namespaces stand for them."""

import subprocess
from dataclasses import replace

import pytest

from tests import hosts, services

SCHEMES = ("float32", "float16", "dynamic", "int8")
FOLDERS = ("out/models", "out/artifacts", "out/evaluations", "out/benchmarks", "out/report", "out/bundles")
pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(1800)]


def eight(params):
    """Eight variants of two models, on a device whose estimates are the same each time."""
    params["compress"] = {"pruned50": {"parent": "baseline", "method": "prune", "sparsity": 0.5, "epochs": 1}}
    params["quantize"] = {
        f"{model}-{scheme}": {"model": model, "scheme": scheme}
        for model in ("baseline", "pruned50")
        for scheme in SCHEMES
    }
    params["train"]["epochs"] = 1
    params["benchmark"]["devices"], params["benchmark"]["reference"] = ["ethos-u55-128"], "baseline-float32"


@pytest.fixture(scope="module")
def spread(make_clone, tmp_path_factory):
    """A run by two machines' workers: the flow's project, their clones, what the run and the next one said."""
    with services.team(make_clone) as team, hosts.Hosts(2) as two:
        team.clone.change(eight)
        team.up()
        folder = tmp_path_factory.mktemp("clones")
        with hosts.shared(team, two) as env:
            clones = [hosts.cloned(team.clone.root, folder / name) for name in ("one", "two")]
            with hosts.dask(two, clones, env) as address:
                said = [team.clone.run("tercet", "run", "--runner", f"dask@{address}", env=env) for _ in range(2)]
        yield team.clone, clones, said


def test_each_variant_is_made_once_and_both_machines_have_worked(spread, outcomes):
    clone, clones, (said, again) = spread
    wanted = {path.name for path in (clone.root / "out" / "artifacts").iterdir()}
    there = [{path.name for path in (each / "out" / "artifacts").iterdir()} for each in clones]
    assert len(wanted) == 8
    assert there[0] | there[1] == wanted
    assert all(there)
    for name in wanted:
        assert said.count(f"] quantize {name}: ran in ") == 1
    assert not any(outcomes(again).values())
    for each in clones:  # a worker leaves its clone's own history alone
        done = subprocess.run(["git", "log", "--oneline"], cwd=each, capture_output=True, timeout=60, check=True)
        assert done.stdout.count(b"\n") == 1
        assert not (each / "dvc.lock").exists()


def test_the_records_are_those_of_one_machine(spread, make_clone):
    """Of one processor, as each of the two has: TensorFlow's sums hang from how many work at them."""
    clone, _, _ = spread
    alone = replace(make_clone(), enter=("taskset", "--cpu-list", "0"))
    alone.change(eight)
    alone.run("tercet", "run")
    assert clone.hashes(*FOLDERS) == alone.hashes(*FOLDERS)
