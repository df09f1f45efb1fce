"""A run by threads, by Dask's workers and by Ray's: whoever computes, the records are the same."""

import pytest

FOLDERS = ("out/models", "out/artifacts", "out/evaluations", "out/benchmarks", "out/report", "out/bundles")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def deterministic(params):
    """All kinds of stages that compute; the device is a compiler, whose estimate is the same each time."""
    params["benchmark"]["devices"] = ["ethos-u55-128"]
    params["yardstick"] = {"mean": {"method": "nearest-class-mean"}}


@pytest.fixture(scope="module")
def runs(make_clone):
    """A copy of the project for each runner, and what its run said."""
    found = {}
    for name in ("threads", "dask", "ray"):
        clone = make_clone()
        clone.change(deterministic)
        found[name] = clone, clone.run("tercet", "run", "--runner", name)
    return found


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_the_records_are_those_of_threads(runs, outcomes, name):
    (threads, by_threads), (clone, said) = runs["threads"], runs[name]
    here, there = threads.hashes(*FOLDERS), clone.hashes(*FOLDERS)
    assert len(here) > 20
    assert here == there
    assert clone.lock() == threads.lock()
    assert outcomes(said) == outcomes(by_threads)
