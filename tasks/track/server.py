"""Where records are published: the tracking server's address, whether it answers, and how its failures are told."""

import os
import shlex
import socket
import sqlite3
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tasks import redact
from tasks.errors import TrackingError

VARIABLE = "MLFLOW_TRACKING_URI"
DEFAULT_URI = "sqlite:///mlflow.db"
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
PROBE_S = 1.0
LOCKED_S = 5.0  # another process may be writing
THEIRS = ("mlflow", "sqlalchemy", "sqlite3")
_ENVIRONMENT = threading.Lock()


def uri() -> str:
    """The address that the user has set, else a database in the project."""
    with _ENVIRONMENT:
        return os.environ.get(VARIABLE) or DEFAULT_URI


@contextmanager
def variable_kept() -> Iterator[None]:
    """Let the user's address stand in the environment afterwards, and nobody read it meanwhile."""
    with _ENVIRONMENT:
        users = os.environ.get(VARIABLE)
        try:
            yield
        finally:
            os.environ.pop(VARIABLE, None)
            if users is not None:
                os.environ[VARIABLE] = users


def database(uri: str) -> Path | None:
    """The file of an SQLite address; None for every other kind."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def there(file: Path) -> bool:
    """Whether there is a database; an empty file is none yet."""
    return file.exists() and file.stat().st_size > 0


def absolute(uri: str) -> str:
    """The address with the whole path of its file: MLflow keeps one store per address, wherever the process moves."""
    file = database(uri)
    return uri.replace(str(file), str(file.resolve()), 1) if file and not file.is_absolute() else uri


def probe(uri: str) -> None:
    """Fail in a second where MLflow would try for minutes.

    Raises:
        OSError, sqlite3.Error: the server does not answer, or the file is no database.
        ValueError: this is no address.
    """
    from urllib.request import getproxies, proxy_bypass  # takes 40 ms, and most calls of this module never probe

    file, address = database(uri), urlsplit(uri)
    if file and there(file):
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=LOCKED_S)) as opened:
            opened.execute("PRAGMA schema_version")
    elif address.hostname and not (address.scheme in getproxies() and not proxy_bypass(address.hostname)):
        port = address.port or PORTS.get(address.scheme.partition("+")[0])
        if port:
            socket.create_connection((address.hostname, port), timeout=PROBE_S).close()


@contextmanager
def told(uri: str) -> Iterator[None]:
    """A failure of the server inside becomes a TrackingError that names it; a fault of our own names itself."""
    try:
        _probe_address(uri)
        yield
    except TrackingError:
        raise
    except Exception as error:  # a boundary: MLflow lets through what its HTTP, database and storage libraries raise
        what = redact.redact(" ".join(str(error).split()), uri)[:300]
        if not _theirs(error):
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise TrackingError(
                f"publishing failed by a fault of Tercet itself, {Path(where.filename).name}:{where.lineno}: "
                f"{type(error).__name__}: {what}; the records stay, and `tercet publish` tries again"
            ) from error
        raise TrackingError(
            f"tracking server {redact.shown(uri)}: {what or type(error).__name__}; nothing is lost: {_mend(uri, error)}"
        ) from None


def _mend(uri: str, error: Exception) -> str:
    file = database(uri)
    broken = {kind.__module__.partition(".")[0] for kind in type(error).__mro__} & {"sqlalchemy", "sqlite3"}
    if file is None or not broken or not there(file) or "locked" in str(error):
        return "`tercet publish` sends the rest later"
    aside = shlex.join(["mv", str(file), f"{file}.damaged"])
    return f"if it is damaged, `{aside}`, and `tercet publish` sends everything anew"


def _probe_address(uri: str) -> None:
    try:
        probe(uri)
    except ValueError:  # it quotes what it takes for a port, which may be half a password
        raise TrackingError(
            f"{VARIABLE}: received {redact.shown(uri)!r}; an address is expected, such as "
            "http://host:5000 or sqlite:///mlflow.db; in a password `/`, `:` and `@` are written %2F, %3A and %40"
        ) from None


def _theirs(error: Exception) -> bool:
    """Whether an error is the server's or its libraries': by its kind, or because MLflow was at work."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    modules = [kind.__module__ for kind in type(error).__mro__] + [str(f.f_globals.get("__name__")) for f in frames]
    return isinstance(error, OSError) or any(name.partition(".")[0] in THEIRS for name in modules)
