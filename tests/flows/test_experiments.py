"""Experiments of DVC: a run with another parameter is a row beside the others, of what is shipped and what differs."""

import csv
import io
import subprocess

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
DEVICE = "ethos-u55-128"  # estimated: the same each time


def git(clone, *words):
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *who, *words], cwd=clone.root, timeout=60, check=True)


def test_an_experiment_is_a_row_with_what_it_changed_and_what_that_changes(make_clone):
    clone = make_clone()
    clone.change(lambda params: params["benchmark"].update(devices=[DEVICE]))
    clone.run("tercet", "run", "--quiet")
    git(clone, "add", "params.yaml", "dvc.lock")
    git(clone, "commit", "--quiet", "--message", "run")
    said = clone.run("dvc", "exp", "run", "--name", "narrow", "-S", "quantize.int8.scheme=dynamic")
    assert "Running stage 'quantize@int8'" in said
    assert "Running stage 'train'" not in said
    asked = ("exp", "show", "--only-changed", "--drop", "out/|params.yaml", "--csv")
    rows = list(csv.DictReader(io.StringIO(clone.run("dvc", *asked))))
    # what int8 has become does not run there, so what is shipped has nothing any more that its time is compared with
    assert {name for name in rows[0] if "." in name} == {"quantize.int8.scheme", f"{DEVICE}.latency_ratio"}
    told = {row["Experiment"] or row["rev"]: row for row in rows}
    assert told["narrow"]["quantize.int8.scheme"] == told["workspace"]["quantize.int8.scheme"] == "dynamic"
    (before,) = (row for row in rows if row["quantize.int8.scheme"] == "int8")
    assert 0 < float(before[f"{DEVICE}.latency_ratio"]) < 1
    assert told["narrow"][f"{DEVICE}.latency_ratio"] == ""
    every = clone.run("dvc", "metrics", "diff", "--targets", "out/report/metrics.json")
    assert f"int8.{DEVICE}.latency_ms" in every
