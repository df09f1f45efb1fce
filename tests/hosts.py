"""Machines beside this one: network namespaces on a bridge, which reach what listens there and nothing of loopback."""

import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tasks.process import close
from tests.services import Team

BIN = Path(sys.executable).parent
UP_S, END_S = 120.0, 20.0


class Hosts:
    """So many machines, by turns named `NAME-1`, `NAME-2`, …; this one is their gateway.

    Attributes:
        address: of this machine, as they see it.
    """

    def __init__(self, count: int) -> None:
        self._name, net = f"tc{os.getpid() % 100000}", f"10.77.{os.getpid() % 250}"
        self._count, self._net, self.address = count, net, f"{net}.1"

    def __enter__(self) -> "Hosts":
        try:
            self._make()
        except (OSError, subprocess.CalledProcessError) as error:
            self.__exit__()
            pytest.skip(f"no hardware: the kernel lets nobody make networks here: {error}")
        return self

    def _make(self) -> None:
        _ip("link", "add", self._name, "type", "bridge")
        _ip("addr", "add", f"{self.address}/24", "dev", self._name)
        _ip("link", "set", self._name, "up")
        for k in range(1, self._count + 1):
            host, outer = f"{self._name}-{k}", f"{self._name}v{k}"
            _ip("netns", "add", host)
            _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", host)
            _ip("link", "set", outer, "master", self._name, "up")
            _ip("-n", host, "addr", "add", f"{self.of(k)}/24", "dev", "eth0")
            for each in ("lo", "eth0"):
                _ip("-n", host, "link", "set", each, "up")

    def __exit__(self, *_: object) -> None:
        for k in range(1, self._count + 1):
            with suppress(OSError, subprocess.CalledProcessError):
                _ip("netns", "delete", f"{self._name}-{k}")
        with suppress(OSError, subprocess.CalledProcessError):
            _ip("link", "delete", self._name)

    def of(self, host: int) -> str:
        """The address of a machine, counted from 1."""
        return f"{self._net}.{host + 1}"

    def on(self, host: int, *words: str) -> list[str]:
        """A command as it runs there."""
        return ["ip", "netns", "exec", f"{self._name}-{host}", *words]

    @contextmanager
    def reached(self, port: int) -> Iterator[str]:
        """Let the machines reach what listens on this one's loopback; at which address of theirs."""

        class Through(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 10) as inner:
                    inner.settimeout(None)
                    back = threading.Thread(target=_copy, args=(inner, self.request), daemon=True)
                    back.start()
                    _copy(self.request, inner)
                    back.join()

        with socketserver.ThreadingTCPServer((self.address, 0), Through) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"{self.address}:{server.server_address[1]}"
            server.shutdown()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def dask(hosts: Hosts, clones: Sequence[Path], env: dict[str, str]) -> Iterator[str]:
    """A scheduler here, and a worker of one thread on each machine, in its clone of the project; the address.

    Each machine has one processor of this one's, for itself as far as this one lets it: a worker that took two would
    leave the next none.
    """
    with socket.socket() as probe:
        probe.bind((hosts.address, 0))
        address = f"tcp://{hosts.address}:{probe.getsockname()[1]}"
    port, no_page = address.rpartition(":")[2], ["--no-dashboard"]
    with ExitStack() as ended:
        begun = ["scheduler", "--host", hosts.address, "--port", port, *no_page]
        ended.enter_context(_running([str(BIN / "dask"), *begun], clones[0].parent, env))
        for k, clone in enumerate(clones, 1):
            words = ["worker", address, "--host", hosts.of(k), "--nthreads", "1", "--no-nanny", *no_page]
            own = {
                name: str(clone.parent / f"{clone.name}-{name.lower()}")
                for name in ("DVC_SITE_CACHE_DIR", "TERCET_LOCKS")
            }
            for folder in own.values():
                Path(folder).mkdir(exist_ok=True)
            there = env | own | {"PYTHONPATH": str(clone)}
            processor = str((k - 1) % (os.cpu_count() or 1))
            command = hosts.on(k, "taskset", "--cpu-list", processor, str(BIN / "dask"), *words)
            ended.enter_context(_running(command, clone, there))
        _await_workers(address, len(clones))
        yield address


@contextmanager
def _running(command: list[str], folder: Path, env: dict[str, str]) -> Iterator[None]:
    with (folder / "dask.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        close(process, END_S)


def _await_workers(address: str, count: int) -> None:
    from distributed import Client

    end = time.monotonic() + UP_S
    while time.monotonic() < end:
        with suppress(OSError), Client(address, timeout=UP_S, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=UP_S)
            return
    raise AssertionError(f"no {count} workers at {address} within {UP_S:g} s")


@contextmanager
def shared(team: Team, net: Hosts) -> Iterator[dict[str, str]]:
    """Let the machines reach a team's Prefect server and its store; the variables of a process on any of them."""
    settings = team.clone.root / ".dvc" / "config.local"
    config, api = settings.read_text(), team.clone.env["PREFECT_API_URL"]
    (store,) = (line.rpartition("/")[2] for line in config.splitlines() if "endpointurl" in line)
    with net.reached(_port(api.removesuffix("/api"))) as server, net.reached(_port(store)) as s3:
        settings.write_text(config.replace(store, s3))
        kept = {
            name: value for name, value in team.clone.env.items() if not name.startswith("MLFLOW_")
        }  # it is here alone
        yield kept | {"NO_PROXY": "*", "PREFECT_API_URL": f"http://{server}/api"}
        settings.write_text(config)


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def cloned(root: Path, folder: Path) -> Path:
    """A clone of a project that has its settings of DVC's remote, too."""
    subprocess.run(["git", "clone", "--quiet", root, folder], check=True, timeout=60)
    shutil.copy(root / ".dvc" / "config.local", folder / ".dvc" / "config.local")
    return folder
