"""A temporary Prefect server for a run that has none of its own, and whether the user's own one answers.

Prefect would start the same one, but only when the flow begins, and after it has imported the whole server in the
flow's process too. Started first and in a process of its own, it comes up while TensorFlow is imported.
`python -m flows.start.prefect_server SOCKET CALLER` is that process.
"""

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from flows.start import garbage
from tasks import paths, redact
from tasks.errors import TercetError

START_S = 120
STOP_S = 5
ANSWER_S = 12.0
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HOME = paths.STATE / "prefect"
MOST_BYTES = 2**26  # of the database of runs that nobody will look at again
SETTINGS = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"} | {
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "0" for name in ("EVENT_PERSISTER", "TASK_RUN_RECORDER", "TRIGGERS")
}


def past_proxies() -> None:
    """Have this process and its children reach this machine itself directly, whatever proxy the environment names."""
    for name in ("NO_PROXY", "no_proxy"):
        named = [host for host in os.environ.get(name, "").split(",") if host]
        if "*" not in named:
            os.environ[name] = ",".join(dict.fromkeys([*named, *LOOPBACK]))


class Server:
    """A server on a free port of this machine, which ends when this process does, however it ends."""

    def __init__(self) -> None:
        past_proxies()
        HOME.mkdir(parents=True, exist_ok=True)
        database = HOME / "prefect.db"
        if database.exists() and database.stat().st_size > MOST_BYTES:
            self._forget()
        self._start()
        # what Prefect still has to send is sent before: its own handlers are registered later, so they run earlier
        atexit.register(self.stop)

    def _start(self) -> None:
        home = {"PREFECT_HOME": os.environ.get("PREFECT_HOME") or str(HOME.absolute())}
        with socket.socket() as opened, (HOME / "server.log").open("wb") as log:
            opened.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{opened.getsockname()[1]}/api"
            # a ctrl-C in the terminal reaches the whole group of this process: the server must outlive it, or Prefect's
            # client would call a dead port for minutes
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(opened.fileno()), str(os.getpid())],
                env={**os.environ, **SETTINGS, **home}, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                pass_fds=[opened.fileno()], start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            TercetError: it ended, or did not answer in time.
        """
        if self._answers():
            return
        if self._process.poll() is not None and "PREFECT_HOME" not in os.environ:
            self._forget()  # a kill may have left its database half made
            self._start()
            if self._answers():
                return
        ended = self._process.poll()
        why = f"did not answer within {START_S} s" if ended is None else f"ended with code {ended}"
        raise TercetError(f"Prefect's temporary server {why}; its last words: {_last_words()}")

    def _answers(self) -> bool:
        opener, end = build_opener(ProxyHandler({})), time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with opener.open(f"{self.address}/health", timeout=START_S):
                    return True
            except (URLError, OSError):
                time.sleep(0.1)
        return False

    @staticmethod
    def _forget() -> None:
        for path in HOME.glob("prefect.db*"):
            path.unlink()

    def stop(self) -> None:
        """End it; harmless where it has ended."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _last_words() -> str:
    log = HOME / "server.log"
    said = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return f"{next(filter(None, reversed(said)), 'it said nothing')} (all of them: {log})"


def check(url: str) -> None:
    """One line where Prefect would end with tracebacks, or wait for minutes: what its settings name is no server.

    Raises:
        TercetError: nothing answers there in time, or not as Prefect's server does.
    """
    from prefect.client.orchestration import get_client  # a second or more, which is not the server's

    found: list[str] = []
    settings = copy_context()  # Prefect's, which a new thread does not have: it would start a server itself
    asking = Thread(target=lambda: found.append(settings.run(_fault, get_client)), daemon=True)
    asking.start()
    asking.join(ANSWER_S)
    fault = found[0] if found else f"no answer within {ANSWER_S:g} s"
    if fault:
        raise TercetError(
            f"PREFECT_API_URL: no Prefect server answers at {redact.shown(url)} ({redact.redact(fault, url)}); "
            "start it (`prefect server start`), or unset the variable: a run needs none"
        )


def _fault(get_client: Callable[..., Any]) -> str:
    try:
        with get_client(sync_client=True) as client:
            if error := client.api_healthcheck():
                return " ".join(str(error).split()) or type(error).__name__
            client.api_version()  # any web server has pages
    except Exception as error:  # a boundary: httpx's errors, a page that is no JSON, a wrong address
        return f"it is none: {type(error).__name__}"
    return ""


def serve(listening: int, caller: int) -> None:
    """Be the server on an open socket, until the caller ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != caller:
            raise SystemExit("the caller has ended")
    garbage.leave()
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(), log_level="error", lifespan="on")
    garbage.look()
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[socket.socket(fileno=listening)])


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
