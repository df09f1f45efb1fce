"""A run that is killed in the middle is whole after the next one, and leaves the lock that `dvc repro` writes."""

import json
import os
import random
import re
import signal
import time
from contextlib import suppress
from subprocess import TimeoutExpired

import psutil
import pytest

MEASURED = ("out/benchmarks", "out/report", "out/bundles")
VARIANTS = ("fp32", "int8", "pruned50-clustered8-int8")  # of the preset `smoke`
EPOCHS = 12
LIMIT_S = 300.0
GONE_S = 60.0
KILLS = int(os.environ.get("TERCET_KILLS", "30"))  # 30 take half an hour
pytestmark = [pytest.mark.slow, pytest.mark.timeout(6000)]


def lengthen(params):
    """So that a kill falls into the middle: epochs of a second's fraction, and windows of a second each."""
    params["train"]["epochs"] = EPOCHS
    params["compress"]["pruned50"]["epochs"] = EPOCHS
    params["benchmark"]["protocol"].update(windows=2, window_s=1.0)


def kill_when(clone, seen):
    """Start `tercet run`, and kill its process group as soon as `seen(what it said, its descendants)`.

    Returns what it had said.
    """
    with clone.started("tercet", "run") as (process, log):
        end, family = time.monotonic() + LIMIT_S, []
        while not seen(log.read_text(), family):
            assert process.poll() is None, f"it ended before it was killed:\n{log.read_text()}"
            assert time.monotonic() < end, f"nothing to kill in:\n{log.read_text()}"
            family = psutil.Process(process.pid).children(recursive=True)
            time.sleep(0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, GONE_S)
        left = [command(child) for child in alive]
        for child in alive:
            child.kill()
    assert not left, "the killed run has left processes behind"
    return log.read_text()


def in_epoch(label):
    return lambda said, family: re.search(rf"^{label}: epoch [3-9] of {EPOCHS} ", said, re.MULTILINE)


def in_benchmark(clone):
    """A runner works, and nothing but measurements has yet to run; earlier runs may have done some of the rest."""
    rest = ("evaluations/*.json", "benchmarks/*@ethos-u55-128.json")

    def seen(said, family):
        done = all(len(list((clone.root / "out").glob(pattern))) == len(VARIANTS) for pattern in rest)
        return done and any("runner.__main__" in " ".join(command(child)) for child in family)

    return seen


def command(process):
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return []


def assert_whole(clone):
    """Every output is there, is what its card says, and nothing half-written lies beside it."""
    assert clone.run("dvc", "status") == "Data and pipelines are up to date.\n"
    assert not list((clone.root / "out").rglob("*.tmp"))
    hashes = clone.hashes("out")
    for card in (clone.root / "out/artifacts").glob("*/card.json"):
        value = json.loads(card.read_text())
        assert hashes[f"out/artifacts/{card.parent.name}/{value['file']}"] == value["sha256"]
    for record in (clone.root / "out/benchmarks").glob("*.json"):
        assert json.loads(record.read_text())["status"] in ("ok", "unsupported", "invalid")
    rows = json.loads((clone.root / "out/report/comparison.json").read_text())["rows"]
    assert len(rows) == 2 * len(VARIANTS)


def unmeasured(lock):
    """The lock without what holds a measured value: {stage: {"deps": {path: md5}, …}}."""
    found = {}
    for name, stage in lock.items():
        entry = {"cmd": stage["cmd"], "params": stage.get("params")}
        for kind in ("deps", "outs"):
            items = {item["path"]: item for item in stage.get(kind, [])}
            entry[kind] = {path: item for path, item in items.items() if not path.startswith(MEASURED)}
        found[name] = entry
    return found


def test_a_run_killed_three_times_ends_where_dvc_repro_ends(make_clone, outcomes):
    clone, other = make_clone(), make_clone()
    for each in (clone, other):
        each.change(lengthen)

    kill_when(clone, in_epoch("train baseline"))
    assert not (clone.root / "out/models/baseline").exists()
    said = kill_when(clone, in_epoch("prune"))
    assert "train baseline: resumed after epoch " in said
    assert (clone.root / "out/models/baseline").is_dir()
    assert not (clone.root / "out/models/pruned50").exists()
    assert "prune: resumed after epoch " in kill_when(clone, in_benchmark(clone))
    ran = outcomes(clone.run("tercet", "run"))["ran"]
    assert any(label.endswith(" @ host-cpu") for label in ran)
    assert not {"train", "prune pruned50", "cluster pruned50-clustered8"} & ran
    assert_whole(clone)

    other.run("dvc", "repro")
    again = other.run("tercet", "run")
    assert not any(outcomes(again).values())
    assert_whole(other)
    assert unmeasured(clone.lock()) == unmeasured(other.lock())
    deterministic = ("out/data", "out/models", "out/artifacts", "out/evaluations", "out/fingerprints")
    assert clone.hashes(*deterministic) == other.hashes(*deterministic)


def shorten(params):
    """Every stage, and each as short as it can be."""
    params["compress"] = {"pruned": {"parent": "baseline", "method": "prune", "sparsity": 0.5, "epochs": 1}}
    params["quantize"] = {
        "fp32": {"model": "baseline", "scheme": "float32"},
        "int8": {"model": "pruned", "scheme": "int8"},
    }
    params["benchmark"]["protocol"].update(window_s=0.05)


def test_a_kill_at_any_moment_is_mended_by_the_next_run(make_clone):
    """Each time something else is to be done, and the run is killed after another time."""
    clone, rng = make_clone(), random.Random(0)
    clone.change(shorten)
    start = time.monotonic()
    clone.run("tercet", "run")
    whole_s = time.monotonic() - start
    moments = {}
    for i in range(KILLS):
        clone.change(lambda params, seed=i: params["train"].update(seed=seed + 1))
        after_s = rng.uniform(0, whole_s)
        with clone.started("tercet", "run") as (process, log):
            with suppress(TimeoutExpired):
                process.wait(after_s)
            process.kill()  # it alone: its children are to notice
        moments[f"{after_s:.1f} s"] = log.read_text().splitlines()[-1:]  # for whoever reads a failure
        said = clone.run("tercet", "run")
        assert "failed" not in said, moments
        assert clone.run("dvc", "status") == "Data and pipelines are up to date.\n", moments
        assert not list((clone.root / "out").rglob("*.tmp")), moments
