"""Where records are published: the tracking server's address, without its secrets, and whether it answers."""

import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tasks.errors import TrackingError

DEFAULT_URI = "sqlite:///mlflow.db"
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
PROBE_S = 1.0
LOCKED_S = 5.0  # another process may be writing


def uri() -> str:
    """The address that the user has set, else a database in the project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def redact(text: str) -> str:
    """Text without the user:password@ of addresses."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


def database(uri: str) -> Path | None:
    """The file of an SQLite address; None for every other kind."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def absolute(uri: str) -> str:
    """The address with the whole path of its file: MLflow keeps one store per address, wherever the process moves."""
    file = database(uri)
    return uri.replace(str(file), str(file.resolve()), 1) if file and not file.is_absolute() else uri


def probe(uri: str) -> None:
    """Fail in a second where MLflow would try for minutes.

    Raises:
        OSError, sqlite3.Error: the server does not answer, or the file is no database.
    """
    from urllib.request import getproxies, proxy_bypass  # takes 40 ms, and most calls of this module never probe

    file, address = database(uri), urlsplit(uri)
    if file and file.exists():
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=LOCKED_S)) as opened:
            opened.execute("PRAGMA schema_version")
    elif address.hostname and not (address.scheme in getproxies() and not proxy_bypass(address.hostname)):
        port = address.port or PORTS.get(address.scheme.partition("+")[0])
        if port:
            socket.create_connection((address.hostname, port), timeout=PROBE_S).close()


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Any failure of the server inside becomes a TrackingError that names it."""
    try:
        probe(uri)
        yield
    except Exception as error:  # a boundary: MLflow raises its own errors, requests', SQLAlchemy's and the storage's
        what = redact(" ".join(str(error).split()))[:300] or type(error).__name__
        raise TrackingError(
            f"tracking server {redact(uri)}: {what}; nothing is lost: `tercet publish` sends the rest later"
        ) from None
