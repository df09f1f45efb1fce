"""The services of a team as `tercet up` starts them, all of them real: a schedule fires, and nothing is lost."""

import json
import shutil
import subprocess
from base64 import b64encode
from contextlib import suppress
from secrets import token_hex

import psutil
import pytest
from mlflow import MlflowClient

from tasks.services import place, postgres, s3
from tasks.services.processes import MARK
from tests import proxies, services

DONE_S = 400.0
OWN = ("out/code/", "out/fingerprints/", "out/sources/")  # what each machine writes for itself, and DVC never caches
PARTS = ["postgres", "s3", "redis", "mlflow", "prefect", "background", "worker"]
KEPT = {"secrets.json", "environment", "redis.conf", "s3.json", "credentials", "users.ini"}  # for their owner alone
MANY = 30
TOKEN = token_hex(16)  # of the address that is told of failed runs
pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def hook():
    """Where failed runs are told, and what was told there."""
    with services.hook() as found:
        yield found


@pytest.fixture(scope="module")
def team(make_clone, hook):
    with services.team(make_clone) as found:
        services.schedule(found.clone.root, "nightly", interval=services.INTERVAL_S)
        found.clone.env["TERCET_NOTIFY_URL"] = f"{hook[0]}/{TOKEN}"
        found.up()
        yield found


@pytest.fixture(scope="module")
def done(team):
    """A run that the schedule has started, ended; the schedule starts no other one, which would disturb the tests."""

    def begun():
        return [run for run in team.runs() if run["auto_scheduled"] and run["state_type"] in ("PENDING", "RUNNING")]

    first = team.wait(begun, DONE_S)[-1]["id"]
    team.pause("nightly")
    return team.ask(f"/flow_runs/{first}")


def test_it_is_all_there_on_this_machine_alone_and_no_secret_is_an_argument(team):
    processes = [psutil.Process(team.pid(name)) for name in PARTS]
    family = [each for one in processes for each in (one, *one.children(recursive=True))]
    listening = [c for each in family for c in each.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 6
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    secrets = [value for value in (team.home / "secrets.json").read_text().split('"') if len(value) == 32]
    assert len(secrets) == 7
    words = [word for each in psutil.process_iter(["cmdline"]) for word in each.info["cmdline"] or []]
    assert not [word for word in words for secret in secrets if secret in word]
    assert not [secret for secret in secrets if secret in team.logs()]
    assert psutil.Process(team.pid("postgres")).username() != "root"


def test_a_second_up_starts_nothing_anew(team):
    before = {name: team.pid(name) for name in PARTS}
    assert "http://127.0.0.1:" in team.up()
    assert {name: team.pid(name) for name in PARTS} == before
    assert len(team.ask("/automations/filter", {})) == 2


def test_a_schedule_fires_and_the_run_completes(team, done):
    assert done["state_type"] == "COMPLETED", team.logs()
    assert {"tercet", "nightly", "auto-scheduled"} == set(done["tags"])


def test_mlflow_holds_the_runs_and_the_store_their_files(team, done, monkeypatch):
    for name in ("URI", "USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", team.clone.env[f"MLFLOW_TRACKING_{name}"])
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
    manifest = json.loads((team.clone.root / "out" / "bundles" / "host-cpu" / "manifest.json").read_text())
    shipped = manifest["variant"] is not None
    assert {found["device"] for found in told["findings"]} == ({"host-cpu"} if shipped else set())
    silent = [found for found in told["findings"] if found["figure"] is None]
    assert all("too busy" in found["reason"] for found in silent), silent  # what no code of ours can help
    assert silent or not shipped or {found["figure"] for found in told["findings"]} == {"latency_ms"}
    worse = [found for found in told["findings"] if found["outcome"] == "breach"]
    assert state == ("FAILED" if worse else "COMPLETED")
    artifacts = team.ask("/artifacts/filter", {"artifacts": {"key": {"any_": ["remeasured"]}}})
    assert ("host-cpu: " if shipped else "nothing is shipped") in artifacts[0]["data"]


def test_somebody_is_told_of_a_run_that_fails(team, done, hook):
    team.clone.change(lambda params: params["train"].update(epochs='"<none>'))
    run = team.start("nightly")
    ((path, said),) = team.wait(lambda: [each for each in hook[1] if run in each[1]], DONE_S)
    team.clone.change(lambda params: params["train"].update(epochs=1))
    assert team.state(run) == "FAILED"
    text = json.loads(said)["text"]
    assert path == f"/{TOKEN}"
    assert text.startswith("tercet (")
    assert "Failed: " in text
    assert '"<none>' in text


FAILING = """
import asyncio
from prefect import flow

@flow
async def failing():
    raise ValueError("meant")

async def many():
    await asyncio.gather(*(failing(return_state=True) for _ in range({many})))

asyncio.run(many())
"""


def test_each_of_many_runs_that_fail_together_is_told(team, hook):
    script = team.clone.root.parent / "failing.py"
    script.write_text(FAILING.format(many=MANY))
    team.clone.run("python", str(script))
    runs = [run["id"] for run in team.runs(flows={"name": {"any_": ["failing"]}})]
    assert len(runs) == MANY
    team.wait(lambda: all(any(run in said for _, said in hook[1]) for run in runs), DONE_S)


def test_others_are_answered_by_tls_and_with_a_password_alone(team, tmp_path):
    known = json.loads((team.home / "ports.json").read_text())
    users = {
        proxies.PREFECT: team.clone.env["PREFECT_API_AUTH_STRING"],
        proxies.MLFLOW: ":".join(team.clone.env[f"MLFLOW_TRACKING_{name}"] for name in ("USERNAME", "PASSWORD")),
    }
    paths = {proxies.PREFECT: "/api/admin/version", proxies.MLFLOW: "/api/2.0/mlflow/experiments/get?experiment_id=0"}
    with proxies.started(tmp_path, known["prefect"], known["mlflow"]) as proxy:
        for name, user in users.items():
            assert proxy.ask(name, paths[name])[0] == 401
            wrong = b64encode(f"{user}x".encode()).decode()
            assert proxy.ask(name, paths[name], Authorization=f"Basic {wrong}")[0] == 401
            right = b64encode(user.encode()).decode()
            assert proxy.ask(name, paths[name], Authorization=f"Basic {right}")[0] == 200
        assert json.loads(proxy.ask(proxies.PREFECT, "/ui-settings")[1])["api_url"] == "/api"


def test_no_secret_is_written_but_where_its_owner_alone_reads_it(team, done, tmp_path, monkeypatch):
    """After a run that completed, one that failed and its message: in files, logs, both databases and the store."""
    monkeypatch.chdir(team.clone.root)
    known = place.known()
    secrets = [TOKEN, *known.secrets.values()]
    for database in postgres.DATABASES:
        words = ["--dbname", postgres.url(known, "", database).replace("+:", ":"), "--file", str(tmp_path / database)]
        subprocess.run([postgres.program("pg_dump"), *words], check=True, timeout=300)
    assert s3.fetch(known, tmp_path / "objects") > 20
    places = [team.clone.root.parent, tmp_path]
    files = [path for folder in places for path in folder.rglob("*") if path.is_file() and path.name not in KEPT]
    assert {path.name for path in files} >= {"prefect", "mlflow", "params.yaml", "manifest.json", "log", "dvc.lock"}
    found = {path: [secret for secret in secrets if secret.encode() in content(path)] for path in files}
    assert {path: hit for path, hit in found.items() if hit} == {}


def content(path):
    with suppress(FileNotFoundError):  # a database at work moves its files
        return path.read_bytes()
    return b""


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
