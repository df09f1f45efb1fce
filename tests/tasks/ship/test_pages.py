"""MLflow's pages: what is told, and that the command shows them."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest

from tasks import track
from tasks.errors import TercetError
from tasks.track import pages

BIN = Path(sys.executable).parent


def test_a_server_shows_its_pages_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://u:p@tracking:5000/?token=x")
    assert track.ui() == track.Address("http://tracking:5000/")
    assert track.hint() == "http://tracking:5000/"


def test_a_password_is_in_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql://u:p4ssw0rd@db/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    command = track.ui()
    assert isinstance(command, track.Command)
    assert "p4ssw0rd" not in shlex.join(command.argv) + command.address + track.hint()
    assert command.environment["MLFLOW_BACKEND_STORE_URI"] == address


def test_another_port_is_found_and_one_that_was_asked_for_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(pages, "PORT", port)
        command = track.ui()
        assert isinstance(command, track.Command)
        assert command.note == f"port {port} is taken; "
        chosen = int(command.address.rpartition(":")[2])
        assert chosen != port
        assert command.argv[:4] == (sys.executable, "-P", "-m", "mlflow")  # whatever PATH leads to
        assert command.argv[command.argv.index("--port") + 1] == str(chosen)
        with pytest.raises(TercetError, match=f"--port: {port} cannot be had: Address already in use"):
            track.ui(port)
    assert track.ui(port).note == ""


def test_the_hint_names_the_command_where_the_shell_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PATH", str(BIN))
    assert track.hint() == "tercet ui"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shlex.split(track.hint()) == [str(BIN / "tercet"), "ui"]


@contextmanager
def started(*command: str, cwd: Path) -> Iterator[Path]:
    """A command in an environment that is not activated, and what it prints; all of it ends with the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "VIRTUAL"))}
    kept["PATH"] = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if Path(part) != BIN)
    log = cwd.parent / "ui.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=cwd, env=kept, stdout=out, stderr=out, start_new_session=True)
    try:
        yield log
        assert process.poll() is None, log.read_text()
    finally:
        everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in everyone:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait(20)


@pytest.mark.slow  # MLflow is imported three times; that the command needs no PATH is said above
def test_the_pages_open_from_an_environment_that_is_not_activated(tmp_path: Path, database: Path) -> None:
    root = tmp_path / "a project"
    root.mkdir()
    (root / "dvc.yaml").write_text("# tercet stage\n")
    shutil.copyfile(database, root / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with started(str(BIN / "tercet"), "ui", "--port", port, cwd=root) as log:
        assert b"MLflow" in fetch(f"http://127.0.0.1:{port}/", log)
        assert f"http://127.0.0.1:{port} (interrupt to stop)" in log.read_text()
    shown = shlex.split(log.read_text().splitlines()[0])
    assert shown[-1] == f"sqlite:///{root}/mlflow.db", "the command can be pasted"


def fetch(address: str, log: Path) -> bytes:
    for _ in range(240):
        try:
            with urlopen(address, timeout=5) as answer:
                return bytes(answer.read())
        except (URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(log.read_text())
