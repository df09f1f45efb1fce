"""The services of a team as `tercet up` starts them, all of them real: a schedule fires, and nothing is lost."""

import json
import shutil
import subprocess

import psutil
import pytest
from mlflow import MlflowClient

from tasks.services.processes import MARK
from tests import services

DONE_S = 400.0
OWN = ("out/code/", "out/fingerprints/", "out/sources/")  # what each machine writes for itself, and DVC never caches
PARTS = ["postgres", "s3", "redis", "mlflow", "prefect", "background", "worker"]
pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def team(make_clone):
    with services.team(make_clone) as found:
        services.schedule(found.clone.root, "nightly", interval=services.INTERVAL_S)
        found.up()
        yield found


@pytest.fixture(scope="module")
def done(team):
    """A run that the schedule has started, ended."""

    def ended():
        found = [run for run in team.runs() if run["auto_scheduled"] and run["state_type"] in ("COMPLETED", "FAILED")]
        return found and found[-1]

    run = team.wait(ended, DONE_S)
    team.pause("nightly")  # the machine is the other tests' now
    return run


def test_it_is_all_there_on_this_machine_alone_and_no_secret_is_an_argument(team):
    processes = [psutil.Process(team.pid(name)) for name in PARTS]
    family = [each for one in processes for each in (one, *one.children(recursive=True))]
    listening = [c for each in family for c in each.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 6
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    secrets = [value for value in (team.home / "secrets.json").read_text().split('"') if len(value) == 32]
    assert len(secrets) == 5
    words = [word for each in psutil.process_iter(["cmdline"]) for word in each.info["cmdline"] or []]
    assert not [word for word in words for secret in secrets if secret in word]
    assert not [secret for secret in secrets if secret in team.logs()]
    assert psutil.Process(team.pid("postgres")).username() != "root"


def test_a_second_up_starts_nothing_anew(team):
    before = {name: team.pid(name) for name in PARTS}
    assert "http://127.0.0.1:" in team.up()
    assert {name: team.pid(name) for name in PARTS} == before
    assert len(team.ask("/automations/filter", {})) == 1


def test_a_schedule_fires_and_the_run_completes(team, done):
    assert done["state_type"] == "COMPLETED", team.logs()
    assert {"tercet", "nightly", "auto-scheduled"} == set(done["tags"])


def test_mlflow_holds_the_runs_and_the_store_their_files(team, done, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.clone.env["MLFLOW_TRACKING_URI"])
    client = MlflowClient()
    experiments = client.search_experiments(filter_string="name = 'smoke'")
    runs = client.search_runs([experiments[0].experiment_id])
    pairs = {(run.data.params["variant"], run.data.params["device"]) for run in runs if "device" in run.data.params}
    assert pairs == {("fp32", "host-cpu"), ("int8", "host-cpu")}
    assert all(run.info.artifact_uri.startswith("mlflow-artifacts:") for run in runs)
    (report,) = [run for run in runs if run.info.run_name == "report"]
    assert {each.path for each in client.list_artifacts(report.info.run_id)}


def test_a_fresh_clone_pulls_every_artifact(team, done, tmp_path):
    root = team.clone.root
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "add", "dvc.lock", "params.yaml"], cwd=root, check=True, timeout=60)
    subprocess.run(["git", *who, "commit", "--quiet", "--message", "run"], cwd=root, check=True, timeout=60)
    fresh = tmp_path / "fresh"
    subprocess.run(["git", "clone", "--quiet", root, fresh], check=True, timeout=60)
    shutil.copy(root / ".dvc" / "config.local", fresh / ".dvc" / "config.local")  # as whoever may read the store has it
    env = {**team.clone.env, "PYTHONPATH": str(fresh), "DVC_SITE_CACHE_DIR": str(tmp_path / "cache")}
    subprocess.run([shutil.which("dvc", path=env["PATH"]), "pull"], cwd=fresh, env=env, check=True, timeout=300)
    outputs = {str(path.relative_to(root)): path.read_bytes() for path in (root / "out").rglob("*") if path.is_file()}
    there = {str(path.relative_to(fresh)): path.read_bytes() for path in (fresh / "out").rglob("*") if path.is_file()}
    kept = {name for name in outputs if not name.startswith(OWN)}
    assert len(kept) > 20
    assert {name: there.get(name) for name in kept} == {name: outputs[name] for name in kept}


def test_what_is_in_use_is_measured_again_and_nothing_is_made_anew(team, done):
    before = team.clone.hashes("out")
    run = team.start("weekly")
    state = team.wait(lambda: team.state(run) in ("COMPLETED", "FAILED") and team.state(run), DONE_S)
    assert team.clone.hashes("out") == before
    told = json.loads((team.clone.root / ".tercet" / "remeasured.json").read_text())
    shipped = (
        team.clone.root / "out" / "bundles" / "host-cpu" / "manifest.json"
    ).exists()  # nothing, if it was too busy
    assert {found["device"] for found in told["findings"]} == ({"host-cpu"} if shipped else set())
    silent = [found for found in told["findings"] if found["figure"] is None]
    assert all("too busy" in found["reason"] for found in silent), silent  # what no code of ours can help
    assert silent or not shipped or {found["figure"] for found in told["findings"]} == {"latency_ms"}
    worse = [found for found in told["findings"] if found["outcome"] == "breach"]
    assert state == ("FAILED" if worse else "COMPLETED")
    artifacts = team.ask("/artifacts/filter", {"artifacts": {"key": {"any_": ["remeasured"]}}})
    assert ("host-cpu: " if shipped else "nothing is shipped") in artifacts[0]["data"]


def test_all_of_it_ends(team):
    assert [each for each in psutil.process_iter() if _is_ours(each, team.home)]
    told = team.down()
    assert [line.removeprefix("ended  ") for line in told.splitlines()] == PARTS[::-1]
    assert not [each for each in psutil.process_iter() if _is_ours(each, team.home)]
    assert "nothing runs" in team.down()


def _is_ours(process, home):
    try:
        return process.environ().get(MARK, "").startswith(str(home))
    except (psutil.Error, OSError):
        return False
