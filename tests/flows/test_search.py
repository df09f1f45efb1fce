"""`tercet search`: what a wrong word is told, how many trials run at once, and that a kill loses none of them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tasks import paths

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 10
LIMIT_S = 600.0
SEARCH = f"""
search: # my own words
  trials: {TRIALS}
  objectives: [{{of: quality}}, {{of: gzip_bytes}}, {{of: latency_ms, device: ethos-u55-128}}]
  goals: [{{of: gzip_bytes, max: 3000}}]
  chains: [[], [prune], [prune, cluster]]
  schemes: [int8]
  training: {{epochs: 1, batch_size: 32}}
"""


@pytest.fixture
def project_of(project):
    def make(text):
        shutil.copytree(ROOT / "infra", project / "infra")
        shutil.copy(ROOT / "dvc.yaml", project)
        paths.PARAMS.write_text((ROOT / "infra/presets/smoke.yaml").read_text() + text)

    return make


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("", [], "params.yaml: there is no section `search`; the least of one: search: {objectives: "),
        (SEARCH.replace("-u55-128", "-u55-1"), [], "params.yaml: search: device: received 'ethos-u55-1'; "),
        (SEARCH.replace("chains", "chain"), [], "params.yaml: search.chain: unknown key; allowed: "),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_starts(project_of, text, words, said):
    project_of(text)
    command = [sys.executable, "-c", "import sys; from flows.cli import main; sys.exit(main())", "search", *words]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tercet: {said}")
    assert done.stderr.count("\n") == 1


def test_so_many_trials_are_under_way_as_params_yaml_says_and_each_is_told(monkeypatch):
    from flows import trials

    waiting, under_way, most, told = list(range(9)), set(), [0], []

    def work(number):
        under_way.add(number)
        most[0] = max(most[0], len(under_way))
        time.sleep(0.02)
        under_way.discard(number)
        return number

    state = SimpleNamespace(
        search=SimpleNamespace(parallel=3), workshop=None, tell=told.append,
        ask=lambda: (waiting.pop(0), None, None) if waiting else None,
    )  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        submit = lambda number: SimpleNamespace(submit=lambda: pool.submit(work, number))  # noqa: E731
        monkeypatch.setattr(trials, "attempt", lambda workshop, number, plan, judge: submit(number))
        trials.make_trials(state, SimpleNamespace(tell=lambda trial: None))
    assert sorted(told) == list(range(9))
    assert most[0] == 3


def records(clone):
    """The trials' records, by number."""
    found = (clone.root / ".tercet" / "search").glob("*/*/trial.json")
    return {number: json.loads(path.read_text()) for number, path in sorted((int(p.parent.name), p) for p in found)}


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_search_that_is_killed_goes_on_and_ends_with_what_was_asked_for(make_clone):
    clone = make_clone()
    text = (clone.root / "params.yaml").read_text() + SEARCH
    (clone.root / "params.yaml").write_text(text)
    with clone.started("tercet", "search") as (process, log):
        end = time.monotonic() + LIMIT_S
        while len(records(clone)) < 4:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    before = records(clone)
    assert len(before) < TRIALS

    said = clone.run("tercet", "search")
    after = records(clone)
    assert f"{len(before)} trials were made before" in said
    assert {number: after[number] for number in before} == before
    assert len(after) == len({each["key"] for each in after.values()}) == TRIALS
    assert [each["variant"] for each in after.values() if each["handwritten"]] == list(yaml.safe_load(text)["quantize"])
    assert not list((clone.root / ".tercet").rglob("*.tmp"))
    found = json.loads(next((clone.root / ".tercet" / "search").glob("*/found.json")).read_text())
    assert found["hypervolume"] >= found["handwritten_hypervolume"]
    assert found["trials"] == TRIALS
    refused = [each for each in after.values() if each["status"] == "refused"]
    assert "fp32" in [each["variant"] for each in refused]
    assert {each["entry"]["scheme"] for each in refused} == {"float32"}  # which Ethos-U does not take
    assert all("ethos-u55-128: unsupported" in each["reason"] for each in refused)

    written = (clone.root / "params.yaml").read_text()
    kept = [line for line in written.splitlines() if not line.lstrip().startswith("found-")]
    assert kept == text.splitlines()
    assert set(found["winners"]) <= set(yaml.safe_load(written)["quantize"])
    again = clone.run("tercet", "search")
    assert f"{TRIALS} trials were made before" in again
    assert not re.search(r"^trial \d+ of", again, re.MULTILINE)
    assert (clone.root / "params.yaml").read_text() == written
