"""MLflow's pages: where they are, or the command that opens them."""

import shlex
import shutil
import socket
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

from tasks import redact
from tasks.errors import TercetError
from tasks.track import database, saved, server

HOST = "127.0.0.1"
PORT = 5000


@dataclass(frozen=True)
class Address:
    """A server that shows its pages itself."""

    shown: str  # without credentials
    views: dict[str, str] = field(default_factory=dict)  # saved ones by what they show: their addresses


@dataclass(frozen=True)
class Command:
    """A process that shows them while it runs."""

    argv: tuple[str, ...]
    environment: dict[str, str]  # what it is told apart from its arguments, which every user of the machine can read
    address: str
    note: str = ""  # before the address: what the user must know
    views: dict[str, str] = field(default_factory=dict)  # as an address has them


def ui(port: int | None = None) -> Address | Command:
    """How to see MLflow's pages: at the tracking server's address, or by a server of one's own on its database.

    Args:
        port: of that server; null: 5000, or where it is taken a free one.

    Raises:
        TercetError: the port cannot be had, or the database is damaged.
    """
    uri = server.uri()
    if uri.startswith(("http://", "https://")):
        return Address(redact.shown(uri), _views(uri, redact.shown(uri)))
    chosen, note = _port(port)
    if server.database(uri):
        with server.told(uri):
            database.ready(uri)
    argv = [sys.executable, "-P", "-m", "mlflow", "ui", "--host", HOST, "--port", str(chosen), "--workers", "1"]
    store, environment = server.absolute(uri), {"PYTHONSAFEPATH": "1"}  # -P, for the workers that it starts
    if redact.shown(store) == store:
        argv += ["--backend-store-uri", store]
    else:
        environment |= {"MLFLOW_BACKEND_STORE_URI": store}
    address = f"http://{HOST}:{chosen}"
    return Command(tuple(argv), environment, address, note, _views(uri, address))


def links() -> dict[str, str]:
    """Addresses of what a tracking server shows of this project, by what it is; none where no server is asked."""
    uri = server.uri()
    return _views(uri, redact.shown(uri)) if uri.startswith(("http://", "https://")) else {}


def hint() -> str:
    """A line that leads to the pages when it is pasted into the shell that this command was called from."""
    uri = server.uri()
    if uri.startswith(("http://", "https://")):
        return redact.shown(uri)
    script = Path(sysconfig.get_path("scripts")) / "tercet"
    found = shutil.which("tercet")
    known = found is not None and Path(found).resolve() == script.resolve()
    return "tercet ui" if known else f"{shlex.quote(str(script))} ui"


def _views(uri: str, address: str) -> dict[str, str]:
    """The views that are known to be saved there, the comparison first."""
    base = address.partition("?")[0].rstrip("/")
    return {title: f"{base}/{within}" for title, within in saved.known(uri).items()}


def _port(asked: int | None) -> tuple[int, str]:
    reason = _refusal(asked or PORT)
    if reason is None:
        return asked or PORT, ""
    if asked is not None:
        raise TercetError(f"--port: {asked} cannot be had: {reason}; without --port a free one is found")
    with socket.socket() as any_free:
        any_free.bind((HOST, 0))
        port = int(any_free.getsockname()[1])
    return port, f"port {PORT} is taken; "


def _refusal(port: int) -> str | None:
    """Why a server cannot listen there; None where it can."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does: an ended one is no hindrance
        try:
            tried.bind((HOST, port))
        except OSError as error:
            return error.strerror
    return None
