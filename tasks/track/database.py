"""The tracking database of a project: a file that is there whole or not at all, and whose artifacts lie beside it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import uuid4

from tasks import files, paths
from tasks.errors import TrackingError
from tasks.track import ledger, server
from tasks.track.client import client

ARTIFACTS = Path("mlartifacts")  # of the default database
MAKING = paths.STATE / "mlflow"  # where a database is while it is made
LOCK = paths.STATE / "mlflow.lock"
LOCK_S = 120.0
LOCATIONS = {  # where MLflow writes down, whole, where artifacts lie
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
    "experiments": "artifact_location",
}


def ready(uri: str) -> None:
    """Make the database of an SQLite address unless it is there, and let the default one know where the project is.

    Raises:
        TrackingError: another process makes it, and does not come to an end.
    """
    file = server.database(uri)
    if file is None:
        return
    if not server.there(file):
        _make(uri, file)
    if uri == server.DEFAULT_URI:
        settle(file)


def location(experiment: str) -> str:
    """Where the artifacts of an experiment of the default database lie, as an address."""
    return (ARTIFACTS / experiment).resolve().as_uri()


def settle(file: Path) -> None:
    """Lead the default database's experiments to the artifacts of this project, if it was copied or moved.

    MLflow keeps whole paths: a copy would write into the original's folder, and a moved project finds nothing.

    Raises:
        sqlite3.Error: it is no such database, or another process holds it.
    """
    with closing(sqlite3.connect(file, timeout=server.LOCKED_S, isolation_level=None)) as opened:
        known = opened.execute("SELECT name, artifact_location FROM experiments").fetchall()
        moved = {
            old: location(name)
            for name, old in known
            if old and old.startswith("file:") and old.endswith(_ending(name)) and old != location(name)
        }
        if not moved:
            return
        opened.execute("BEGIN IMMEDIATE")
        for old, new in moved.items():
            for table, column in LOCATIONS.items():
                opened.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608  # names from above
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
                )
        opened.execute("COMMIT")


def _ending(experiment: str) -> str:
    return f"/{ARTIFACTS}/{experiment}"


def _make(uri: str, file: Path) -> None:
    """Make it aside and move it into place: a kill among MLflow's hundred steps leaves what it cannot go on with."""
    from filelock import FileLock, Timeout

    LOCK.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(LOCK, timeout=LOCK_S):
            if server.there(file):  # another process was faster
                return
            shutil.rmtree(MAKING, ignore_errors=True)  # of a killed one
            MAKING.mkdir()
            made = (
                MAKING.resolve() / f"{uuid4().hex}.db"
            )  # MLflow keeps its connection for as long as the process lives
            client(f"sqlite:///{made}").search_experiments()
            ledger.forget(uri)
            with (
                files.replaced(file) as temporary,
                closing(sqlite3.connect(made)) as source,
                closing(sqlite3.connect(temporary)) as target,
            ):
                source.backup(target)
            shutil.rmtree(MAKING)
    except Timeout:
        raise TrackingError(f"{LOCK}: held for {LOCK_S:.0f} s by another process that makes {file}") from None
