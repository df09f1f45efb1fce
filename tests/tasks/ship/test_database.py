"""The project's own database: whole or not there, whatever is killed, and at home where the project is."""

import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasks import files, paths, track
from tasks.errors import TrackingError
from tasks.params import Params
from tasks.track import client, database, ledger, server

ROOT = Path(__file__).resolve().parents[3]
Store = Any  # of conftest.py
RECORDS = 4 + 2 + 1 + 2 + 2  # runs of pairs, of models and of the report, artifacts, aliases


class Killed(BaseException):
    """Not an Exception: nothing may handle it, as nothing handles a kill."""


def as_another_process() -> None:
    """MLflow keeps its connections, also to a file that is elsewhere by now, until its process ends."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking
    from mlflow.tracking._model_registry.utils import _model_registry_store_registry
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    for kind in (Registry, Tracking):
        for engine in kind._engine_map.values():
            engine.dispose()
        kind._engine_map.clear()
    for kept in (_model_registry_store_registry, _tracking_store_registry):
        kept._get_store_with_resolved_uri.cache_clear()


@pytest.mark.parametrize("half", ["tables", "nothing"])
def test_a_database_that_was_half_made_is_made_anew(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    client.import_mlflow()
    from mlflow.store.db import utils

    def dies(*args: Any) -> None:
        raise Killed

    Path("mlflow.db").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(utils, {"tables": "_upgrade_db", "nothing": "_initialize_tables"}[half], dies)
        with pytest.raises(Killed):
            track.publish(params)
    assert not Path("mlflow.db").exists()
    assert track.publish(params).sent == RECORDS
    assert len(store.runs()) == 7
    assert not database.MAKING.exists()


@pytest.mark.slow
def test_a_kill_while_the_database_is_made_costs_nothing(project: Path) -> None:
    code = f"from tasks.track import database; database.ready({server.DEFAULT_URI!r})"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for kib in (8, 64, 128, 256, 400):  # how far it gets; the whole has about 700
        with subprocess.Popen(command, env=environment) as process:
            while process.poll() is None and largest(database.MAKING) < kib * 1024:
                time.sleep(0.005)
            assert process.poll() is None, "it was made before it could be killed"
            process.kill()
        assert not Path("mlflow.db").exists()
    subprocess.run(command, env=environment, timeout=120, check=True)
    with closing(sqlite3.connect("mlflow.db")) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert opened.execute("SELECT count(*) FROM experiments").fetchone() == (1,)
    assert {path.name for path in Path().iterdir()} == {".tercet", "mlflow.db"}


def largest(folder: Path) -> int:
    try:
        return max((path.stat().st_size for path in folder.glob("*.db")), default=0)
    except FileNotFoundError:  # what is looked at comes and goes meanwhile
        return 0


@pytest.mark.slow
def test_a_new_database_has_nothing_whatever_the_ledger_says(store: Store, params: Params) -> None:
    track.publish(params)
    shutil.move("mlflow.db", "mlflow.db.damaged")
    as_another_process()
    database.ready(server.DEFAULT_URI)  # as the curve of a training does, before anything is published
    assert track.publish(params).sent == RECORDS
    assert len(store.runs()) == 7


def test_a_new_experiment_has_nothing_whatever_the_ledger_says(store: Store, params: Params) -> None:
    """Who has renamed the old one in MLflow's pages, or deleted it for good, sees the comparison whole again."""
    track.publish(params)
    old = store.client.get_experiment_by_name("digits-cnn").experiment_id
    store.client.rename_experiment(old, "of last year")
    comparison = paths.REPORT / "comparison.json"
    comparison.write_text(comparison.read_text() + "\n")  # something is new, so that the server is asked at all
    track.publish(params)
    assert len(store.runs()) == 7
    assert store.client.get_experiment_by_name("digits-cnn").experiment_id != old
    assert track.publish(params) == track.Published(0, RECORDS, 0, "sqlite:///mlflow.db")


def test_an_experiment_that_was_deleted_is_told_with_its_mend_which_works(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")  # where `mlflow` is, as at the reader's
    track.publish(params)
    old = store.client.get_experiment_by_name("digits-cnn").experiment_id
    store.client.delete_experiment(old)
    ledger.LEDGER.unlink()
    said = rf"experiment 'digits-cnn' was deleted there: `MLFLOW_TRACKING_URI=\S+ mlflow experiments restore -x {old}` "
    with pytest.raises(TrackingError, match=said) as told:
        track.publish(params)
    assert "later" not in str(told.value)
    command = re.findall("`(.+?)`", str(told.value))[0]
    subprocess.run(["env", *shlex.split(command)], check=True, timeout=120, capture_output=True)
    assert track.publish(params).sent == 0
    assert len(store.runs()) == 7


def damage_tables(file: Path) -> None:
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("DROP TABLE experiments")


def damage_steps(file: Path) -> None:
    """As a kill among the steps of its making left it: it holds what a step would add."""
    with closing(sqlite3.connect(file)) as opened:
        opened.execute("DROP TABLE assessments")
        opened.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
        opened.commit()


@pytest.mark.filterwarnings("ignore:Unnamed CHECK constraint")  # of the steps that go on where they cannot
@pytest.mark.parametrize(
    "damage",
    [
        damage_tables,
        pytest.param(damage_steps, marks=pytest.mark.slow),
        lambda file: file.write_bytes(b"no database" * 99),
    ],
)
def test_a_damaged_database_is_told_with_its_mend_which_works(
    store: Store, params: Params, damage: Callable[[Path], None]
) -> None:
    track.publish(params)
    damage(Path("mlflow.db"))
    ledger.LEDGER.unlink()
    as_another_process()
    with pytest.raises(TrackingError) as raised:
        track.publish(params)
    mend = "mv mlflow.db mlflow.db.damaged"
    assert f"if it is damaged, `{mend}`, and `tercet publish` sends everything anew" in str(raised.value)
    subprocess.run(mend.split(), timeout=10, check=True)
    as_another_process()
    assert track.publish(params).sent == RECORDS


def test_a_busy_database_is_not_called_damaged(store: Store, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LOCKED_S", 0.1)
    with closing(sqlite3.connect("mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="locked; nothing is lost: `tercet publish` sends the rest later"):
            track.publish(params)


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_a_project_that_was_copied_or_moved_keeps_to_its_own_artifacts(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch, how: Callable[..., Any], tmp_path: Path
) -> None:
    import mlflow

    track.publish(params)
    here, there = Path.cwd(), tmp_path.with_name(f"another place of {tmp_path.name}")
    known = set(here.rglob("*"))
    monkeypatch.chdir(tmp_path.parent)
    how(here, there)
    if how is shutil.copytree:
        assert set(here.rglob("*")) == known
    monkeypatch.chdir(there)
    as_another_process()
    artifact = paths.artifact("int8") / "model.tflite"
    old = files.sha256(artifact)
    artifact.write_bytes(artifact.read_bytes() + b"\0")  # made anew, so that there is something to send
    for file in (
        paths.REPORT / "comparison.json",
        *(paths.bundle(d) / "manifest.json" for d in params.benchmark.devices),
    ):
        file.write_text(file.read_text().replace(old, files.sha256(artifact)))
    assert track.publish(params).sent > 0
    for alias in ("candidate-host-cpu", "candidate-ethos-u55-128"):
        fetched = mlflow.artifacts.download_artifacts(
            f"models:/digits-cnn@{alias}", dst_path=f"fetched-{alias}", tracking_uri=f"sqlite:///{there}/mlflow.db"
        )
        assert files.sha256(Path(fetched) / "model.tflite") == files.sha256(artifact)
    if how is shutil.copytree:
        assert set(here.rglob("*")) == known, "the original has nothing new"
    else:
        assert not here.exists()
    with closing(sqlite3.connect("mlflow.db")) as opened:
        for table, column in database.LOCATIONS.items():
            places = [place for (place,) in opened.execute(f"SELECT {column} FROM {table}") if place]
            assert not [place for place in places if str(here) in place and "mlruns" not in place], table


def test_what_is_nobodys_default_place_is_left_alone(store: Store, params: Params) -> None:
    store.client.create_experiment("own", "file:///somewhere/else")
    store.client.create_experiment("far", "s3://bucket/mlartifacts/far")
    store.client.create_experiment("prefix", "file:///old/mlartifacts/prefix")
    store.client.create_experiment("prefix-2", "file:///old/mlartifacts/prefix-2/x")
    database.settle(Path("mlflow.db"))
    places = {each.name: each.artifact_location for each in store.client.search_experiments()}
    assert places["own"] == "file:///somewhere/else"
    assert places["far"] == "s3://bucket/mlartifacts/far"
    assert places["prefix"] == database.location("prefix")
    assert places["prefix-2"] == "file:///old/mlartifacts/prefix-2/x"
