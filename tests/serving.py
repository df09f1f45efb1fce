"""Bundles of golden files, and servers of them in this process, asked by real connections."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tasks import files
from tasks.bench import shipping
from tasks.examples import images, preprocess, tables, texts
from tasks.serve import server
from tasks.serve.app import Limits
from tasks.serve.pool import Pool
from tasks.serve.server import Service
from tasks.ship import classify
from tests.bundles import CLASSIFICATION, GOLDEN, IMAGES

WAIT_S = 120  # for what is soon done, by a machine that may be busy
LITERT = {"kernels": "default", "threads": 1}


def bundle(
    folder: Path,
    program: Path = GOLDEN / "float32.tflite",
    inputs: dict[str, Any] = IMAGES,
    target: dict[str, Any] = CLASSIFICATION,
    module: str = "litert",
    options: dict[str, Any] = LITERT,
    output: str = "",
    **also: Any,
) -> Path:
    """A bundle as `pack` seals it: the program, what reads and runs it, the manifest and the digests."""
    (folder / "runner").mkdir(parents=True)
    shutil.copyfile(program, folder / program.name)
    for script in (preprocess, tables, texts, classify, images):
        shutil.copyfile(str(script.__file__), folder / Path(str(script.__file__)).name)
    for name, path in shipping.closure(module).items():
        shutil.copyfile(path, folder / "runner" / f"{name}.py")
    described = {"schema_version": 1, "inputs": inputs, "targets": {"label": target}}
    files.write_json(folder / "preprocess.json", described)
    about = {"module": module, "options": options, "output": output, "serves": program.name, "requires": []}
    return sealed(folder, {"variant": "v", "device": "here", "program": about, **also})


def sealed(folder: Path, manifest: dict[str, Any]) -> Path:
    """Give a folder a manifest and the digests of what is in it."""
    for name in ("manifest.json", "SHA256SUMS"):
        (folder / name).unlink(missing_ok=True)
    sums = {each.relative_to(folder).as_posix(): files.sha256(each) for each in files.below(folder)}
    told = {name: {"sha256": digest, "bytes": (folder / name).stat().st_size} for name, digest in sums.items()}
    files.write_json(folder / "manifest.json", {**manifest, "files": told})
    sums["manifest.json"] = files.sha256(folder / "manifest.json")
    (folder / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
    return folder


class Told(NamedTuple):
    """What a server has answered."""

    status: int
    content: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """Asks a server on this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Told:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
            found = connection.getresponse()
            return Told(found.status, found.read(), {name.lower(): value for name, value in found.getheaders()})
        finally:
            connection.close()

    def get(self, path: str) -> Told:
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Told:
        return self.ask("POST", path, json.dumps(body).encode())

    def begin(self, path: str) -> socket.socket:
        """A connection with a request on it whose body ends after its first byte."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{{".encode())
        return connection

    def predict(self, *examples: Any) -> Told:
        return self.post("/predict", {"instances": list(examples)})


@contextmanager
def served(service: Service) -> Iterator[Client]:
    """A service on a free port, by the server that the command runs."""
    listener, made = server.listening("127.0.0.1", 0), server.made(service)
    thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not made.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield Client(listener.getsockname()[1])
    finally:
        made.should_exit = True
        thread.join(WAIT_S)
        assert not thread.is_alive(), "the server does not end"


@contextmanager
def serving(folder: Path, limits: Limits | None = None, workers: int = 1) -> Iterator[Client]:
    """A bundle's service on a free port."""
    with served(server.prepared(folder, workers, 1, limits or Limits(seconds=WAIT_S))) as client:
        yield client


def read_slowly(client: Client, path: str, pool: Pool) -> None:
    """Requests count from before their bodies are read; `pool` has two places, and both are free again at the end."""
    until = time.monotonic() + WAIT_S
    with client.begin(path), client.begin(path):
        while pool.inside < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert pool.inside == 2
        with client.begin(path) as third:
            assert third.recv(100).startswith(b"HTTP/1.1 503 ")
        assert client.get("/ready").status == 503
    while pool.inside and time.monotonic() < until:
        time.sleep(0.01)
    assert pool.inside == 0
    assert client.get("/ready").status == 200


@contextmanager
def mlflow_serving(database: Path, uri: str) -> Iterator[Callable[[Any], Any]]:
    """`mlflow models serve` of what a registry has under an alias, in a process of its own: asks it one raw example."""
    with server.listening("127.0.0.1", 0) as listener:
        client = Client(listener.getsockname()[1])
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", uri, "--port", str(client.port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{database}"
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(client, process)

        def ask(example: Any) -> Any:
            told = client.post("/invocations", {"instances": [example]})
            assert told.status == 200, told.content
            return told.json["predictions"][0]

        yield ask
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(WAIT_S)


def _wait_for(client: Client, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        assert process.poll() is None, "MLflow's server has ended"
        try:
            if client.get("/ping").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"MLflow's server does not answer within {WAIT_S} s")


def by_script(folder: Path, images: Path) -> list[dict[str, Any]]:
    """What a bundle's own script, and so the runner's module, says of each example in a file."""
    command = [sys.executable, "-I", str(folder / "classify.py"), str(images)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
