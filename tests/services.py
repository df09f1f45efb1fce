"""A project whose services really run, for the tests that ask and kill them."""

import json
import shutil
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import yaml

from tasks.services.place import HOST

UP_S = 300.0
INTERVAL_S = 10


class Team:
    """A clone of the project, its services, and what its people ask them."""

    def __init__(self, clone: Any) -> None:
        self.clone = clone
        self.home: Path = clone.root / ".tercet" / "services"

    def up(self) -> str:
        """`tercet up`; from then on this team's commands use the services."""
        said: str = self.clone.run("tercet", "up")
        lines = (self.home / "environment").read_text().splitlines()
        self.clone.env.update(line.removeprefix("export ").split("=", 1) for line in lines)
        return said

    def down(self) -> str:
        """`tercet down`."""
        said: str = self.clone.run("tercet", "down")
        return said

    def ask(self, path: str, body: Any = None) -> Any:
        """What Prefect's API answers."""
        request = Request(
            f"{self.clone.env['PREFECT_API_URL']}{path}", None if body is None else json.dumps(body).encode()
        )
        request.add_header("Content-Type", "application/json")
        user = b64encode(self.clone.env["PREFECT_API_AUTH_STRING"].encode()).decode()
        request.add_header("Authorization", f"Basic {user}")
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def runs(self, **query: Any) -> list[dict[str, Any]]:
        """The runs that the server knows, the newest first."""
        found: list[dict[str, Any]] = self.ask(
            "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 200, **query}
        )
        return found

    def start(self, deployment: str, **parameters: Any) -> str:
        """Have a deployment run now; the run's id."""
        found = self.ask("/deployments/filter", {"deployments": {"name": {"any_": [deployment]}}})
        body = {"state": {"type": "SCHEDULED"}, "parameters": parameters}
        run: str = self.ask(f"/deployments/{found[0]['id']}/create_flow_run", body)["id"]
        return run

    def pause(self, deployment: str) -> None:
        """Have its schedule start nothing more, and wait for what it has started."""
        found = self.ask("/deployments/filter", {"deployments": {"name": {"any_": [deployment]}}})
        self.ask(f"/deployments/{found[0]['id']}/pause_deployment", {})
        self.wait(lambda: not [run for run in self.runs() if run["state_type"] in ("PENDING", "RUNNING")], UP_S)

    def state(self, run: str) -> str:
        """The type of a run's state."""
        kind: str = self.ask(f"/flow_runs/{run}")["state_type"]
        return kind

    def logs(self) -> str:
        """The last that each service has said."""
        return "\n".join(f"{path}:\n{path.read_text()[-3000:]}" for path in sorted(self.home.glob("*/log")))

    def wait(self, condition: Callable[[], Any], limit_s: float) -> Any:
        """Poll until the condition holds; a server that does not answer yet is like one that says no."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            try:
                if found := condition():
                    return found
            except OSError:
                pass
            time.sleep(0.5)
        raise AssertionError(f"not within {limit_s:g} s:\n{self.logs()}")

    def pid(self, service: str) -> int:
        """The number of a service's process."""
        return int((self.home / service / "pid").read_text())


@contextmanager
def team(make_clone: Callable[..., Any]) -> Iterator[Team]:
    """A team in a folder that PostgreSQL's own user may enter; all of it ends with the block."""
    with folder() as own, working(make_clone(own)) as found:
        yield found


@contextmanager
def hook() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The address of a server that is told things, and what it has been told: each path with its text."""
    told: list[tuple[str, str]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append((self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Hook) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}", told
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may enter."""
    made = Path(tempfile.mkdtemp(prefix="tercet-team-"))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def working(clone: Any) -> Iterator[Team]:
    """The team of a clone; its services end with the block."""
    found = Team(clone)
    clone.root.chmod(0o711)
    clone.change(few)
    try:
        yield found
    finally:
        found.down()


def few(params: dict[str, Any]) -> None:
    """As little as shows everything: a model, two variants, a device that is measured."""
    params["compress"] = {}
    params["quantize"] = {
        "fp32": {"model": "baseline", "scheme": "float32"},
        "int8": {"model": "baseline", "scheme": "int8"},
    }
    params["train"]["epochs"] = 1
    params["benchmark"]["devices"] = ["host-cpu"]


def schedule(root: Path, deployment: str, **entry: Any) -> None:
    """Give a deployment of prefect.yaml another schedule."""
    path = root / "prefect.yaml"
    value = yaml.safe_load(path.read_text())
    (found,) = [each for each in value["deployments"] if each["name"] == deployment]
    found["schedules"] = [entry]
    path.write_text(yaml.safe_dump(value, sort_keys=False))
