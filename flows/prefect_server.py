"""A temporary Prefect server for a run that has none of its own.

Prefect would start the same one, but only when the flow begins, and after it has imported the whole server in the
flow's process too. Started first and in a process of its own, it comes up while TensorFlow is imported.
`python -m flows.prefect_server PORT` is that process.
"""

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

from tasks.errors import TercetError

START_S = 120
STOP_S = 5
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
SETTINGS = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class Server:
    """A server on a free port of this machine, which ends when this process does, however it ends."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}/api"
            port = str(free.getsockname()[1])
        command = [sys.executable, "-m", __name__, port, str(os.getpid())]
        # a ctrl-C in the terminal reaches the whole group of this process: the server must outlive it, or Prefect's
        # client would call a dead port for minutes
        self._process = subprocess.Popen(command, env={**os.environ, **SETTINGS}, start_new_session=True)
        # what Prefect still has to send is sent before: its own handlers are registered later, so they run earlier
        atexit.register(self.stop)

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            TercetError: it ended, or did not answer in time.
        """
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urlopen(f"{self.address}/health", timeout=START_S):  # noqa: S310  # our own address
                    return
            except (URLError, ConnectionError):
                time.sleep(0.1)
        ended = self._process.poll()
        why = f"did not answer within {START_S} s" if ended is None else f"ended with code {ended}"
        raise TercetError(f"Prefect's temporary server {why}; .tercet/chatter.log has what it said")

    def stop(self) -> None:
        """End it; harmless where it has ended."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve(port: int, caller: int) -> None:
    """Be the server, until the caller ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != caller:
            raise SystemExit("the caller has ended")
    import uvicorn

    uvicorn.run("prefect.server.api.server:create_app", factory=True, port=port, log_level="error", lifespan="on")


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
