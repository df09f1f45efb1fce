"""Shipping over ssh, to an sshd on this machine: as to a folder, and when the connection is cut."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tasks.bench import locks, openssh
from tasks.errors import DeviceError
from tasks.ship import delivery
from tasks.ship.delivery import Cargo
from tasks.ship.targets import Target
from tests.board import Board, arm64
from tests.bundles import noise
from tests.shipping import AT_STEP, NEW, OLD, back, changed, complete, folder_of, once, python


@pytest.fixture
def board(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A device that ssh reaches; every process of a shipment has ended there after each test."""
    if Board.SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no sshd: `apt-get install openssh-server openssh-client`")
    board = Board(project / "ssh")
    monkeypatch.setenv(openssh.CONFIG, str(board.config))
    monkeypatch.setenv(locks.VARIABLE, str(project))
    monkeypatch.setattr(delivery, "WINDOW_S", 0.002)
    monkeypatch.setattr(delivery, "AGAIN_S", 0.05)
    board.start()
    try:
        yield board
        assert board.eventually(lambda: not board.processes()), board.processes()
    finally:
        board.stop()


def target(store: Path, interpreter: str = sys.executable) -> Target:
    return Target("host-cpu", "board", str(store), interpreter, keep=1, tolerance=1.5)


def test_a_bundle_is_shipped_over_ssh_and_taken_back(board: Board, cargoes: dict[str, Cargo], project: Path) -> None:
    there = target(project / "a store")
    assert delivery.ship(there, cargoes[OLD]).before is None
    assert delivery.ship(there, cargoes[NEW]).before == cargoes[OLD].id
    assert complete(project / "a store", cargoes) == NEW
    assert back(there).id == cargoes[OLD].id
    found = delivery.status(there)
    assert (found["current"], found["health"]) == (cargoes[OLD].id, None)


def test_a_device_that_cannot_be_reached_is_told_as_where_it_is_measured(
    board: Board, cargoes: dict[str, Cargo], project: Path
) -> None:
    with pytest.raises(DeviceError, match=r"^board: .*no-python"):
        delivery.ship(target(project / "store", "/no-python"), cargoes[OLD])
    board.stop()
    with pytest.raises(DeviceError, match=r"^board: ssh refused: board is there, but no ssh server listens"):
        delivery.ship(target(project / "store"), cargoes[OLD])
    assert not (project / "store").exists()


def test_a_connection_that_is_cut_is_made_again_to_say_what_runs(
    board: Board, cargoes: dict[str, Cargo], project: Path, tmp_path: Path
) -> None:
    store = project / "store"
    delivery.ship(target(store), cargoes[OLD])
    wait = f"[time.sleep(0.02) for _ in iter(lambda: Path({str(project / 'go')!r}).exists(), True)]"
    slow = target(store, once(project, python(project, AT_STEP.format(step="checked", do=wait)), sys.executable))
    done = []
    ship = threading.Thread(target=lambda: done.append(delivery.ship(slow, cargoes[NEW])))
    ship.start()
    try:
        while ship.is_alive() and '"checked"' not in (store / "journal.json").read_text():
            time.sleep(0.01)
        for client in (each for each in psutil.Process().children() if each.name() == "ssh"):
            client.kill()
    finally:
        (project / "go").touch()
        ship.join(60)
    assert (done[0].id, done[0].settled) == (cargoes[NEW].id, "board: the connection was lost")
    assert complete(store, cargoes) == NEW


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_arm64_machine_answers_by_the_bundle_alone_as_this_one(
    board: Board, cargoes: dict[str, Cargo], request: pytest.FixtureRequest, project: Path
) -> None:
    setting = arm64(request.config)
    board.stop()
    board.start(*setting)
    images = noise(50)
    for where in (board.tmp, project):  # the first is its /tmp
        np.save(where / "images.npy", images)
    there = target(Path("/tmp/store"), "python3")
    for variant in (OLD, NEW):
        done = delivery.ship(there, with_no_promise(cargoes[variant], project / variant))
        assert done.proof is not None
        assert done.proof["off"] <= done.proof["allowed"]
        asked = openssh.connect("board", "exec /tmp/store/classify /tmp/images.npy")
        script = project / variant / "classify.py"
        found = [lines(asked), lines([sys.executable, "-I", str(script), str(project / "images.npy")])]
        assert found[0] == found[1]
        assert len(found[0]) == 50
    assert back(there).before == done.id
    assert delivery.status(there)["health"] is None
    assert {path.name for path in (board.tmp / "store").iterdir()} == {
        "bundles", "classify", "current", "journal.json", "packages", "site", ".ship.lock", ".back",
    }  # fmt: skip
    assert len(list((board.tmp / "store" / "packages").iterdir())) == 1  # both run by the same


def with_no_promise(cargo: Cargo, folder: Path) -> Cargo:
    """A bundle whose record has no latency: an emulated machine would break it."""
    shutil.copytree(folder_of(cargo), folder)
    return changed(folder, lambda manifest: manifest["figures"].pop("latency_ms"), {})


def lines(command: list[str]) -> list[str]:
    """The labels that a command prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["label"] for line in done.stdout.splitlines()]
