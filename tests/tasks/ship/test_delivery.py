"""Shipping to a folder: what the device runs at the end of it, whatever happens on the way."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import files
from tasks.errors import ShippingError
from tasks.ship import delivery, link
from tasks.ship.delivery import Cargo
from tasks.ship.targets import Target
from tests.bundles import noise
from tests.shipping import KILL_HERE, KILL_THERE, NEW, OLD, back, changed, complete, failing, once, python

ROOT = Path(__file__).resolve().parents[3]
BEFORE = ("uploading", "uploaded", "installed", "checked")  # steps after which the old bundle has never stopped
TURNING = ("switching", "switched", "restarted")  # after which it runs again
RETURNING = ("returning", "returned")  # of a shipment that fails after the switch
FEW, OTHERS = ("uploading", "switched"), ("uploaded", *BEFORE[2:], "switching", "restarted", "confirmed", *RETURNING)


def slow(*values: Any, **about: Any) -> Any:
    """A parameter whose test is not of the default suite."""
    return pytest.param(*values, marks=pytest.mark.slow, **about)


HOST = """
import os, pickle, sys
from tasks.ship import delivery
delivery.WINDOW_S = 0.002
while sys.stdin.buffer.peek(1):
    job = pickle.load(sys.stdin.buffer)
    if not (child := os.fork()):
        try:
            delivery.ship(*job)
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def target(project: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A folder that is the device."""
    monkeypatch.setattr(delivery, "WINDOW_S", 0.002)
    monkeypatch.setattr(delivery, "AGAIN_S", 0.05)
    return Target("host-cpu", None, str(project / "store"), sys.executable, keep=1, tolerance=1.5)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a device lies that runs the old bundle, once one does."""
    return tmp_path_factory.mktemp("running") / "store"


@pytest.fixture
def store(running: Path, target: Target, cargoes: dict[str, Cargo]) -> Path:
    """The device, which runs the old bundle."""
    if not running.exists():
        delivery.ship(replace(target, folder=str(running)), cargoes[OLD])
    return Path(shutil.copytree(running, target.folder, symlinks=True))


@pytest.fixture(scope="module")
def host() -> Iterator[Callable[[Target, Cargo], int]]:
    """Ships from a process of its own, which can be killed; the code that it ends with."""
    command = [sys.executable, "-P", "-c", HOST]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:

        def ship(target: Target, cargo: Cargo) -> int:
            assert process.stdin
            assert process.stdout
            pickle.dump((target, cargo), process.stdin)
            process.stdin.flush()
            return int(process.stdout.readline())

        yield ship


def journal(store: Path) -> dict[str, Any]:
    return dict(json.loads((store / "journal.json").read_text()))


def owned(store: Path, script: str) -> None:
    """Have the device's owner restart what serves the bundle."""
    (store / "restart").write_text(f"#!/bin/sh\n{script}\n")
    (store / "restart").chmod(0o755)


def refuses(store: Path, cargo: Cargo) -> None:
    """Have what serves the bundle refuse one; each restart is counted."""
    owned(store, f"echo >>{store}/restarts; ! readlink {store}/current | grep -q {cargo.id}")


def test_a_bundle_is_shipped_runs_and_is_taken_back(
    store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path
) -> None:
    assert complete(store, cargoes) == OLD
    done = delivery.ship(target, cargoes[NEW])
    assert (done.id, done.before, done.settled) == (cargoes[NEW].id, cargoes[OLD].id, None)
    assert done.proof is not None
    assert (done.proof["examples"], done.proof["record"]) == (8, {"latency_ms": 1.0})
    assert complete(store, cargoes) == NEW
    assert [each["variant"] for each in journal(store)["champions"]] == [OLD, NEW]
    assert not (store / "incoming").exists()
    images = tmp_path / "images.npy"
    np.save(images, noise(5))
    there = subprocess.run([store / "classify", images], capture_output=True, text=True, check=True, timeout=60)
    script = next(piece for name, piece in cargoes[NEW].bundle.items() if name == "classify.py")
    command = [sys.executable, "-I", str(script), str(images)]
    here = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert there.stdout == here.stdout
    assert len(there.stdout.splitlines()) == 5
    assert delivery.ship(target, cargoes[NEW]).proof is None  # it runs already
    returned = back(target)
    assert (returned.id, returned.before, complete(store, cargoes)) == (cargoes[OLD].id, cargoes[NEW].id, OLD)
    with pytest.raises(ShippingError, match=rf"no bundle is here that ran before; it runs {OLD} \({cargoes[OLD].id}\)"):
        back(target)
    found = delivery.status(target)
    assert (found["current"], found["health"], found["holder"]) == (cargoes[OLD].id, None, None)
    assert 0 <= found["age_s"] < 60


@pytest.mark.parametrize("step", [*BEFORE, *TURNING, "returning", slow("confirmed"), slow("returned")])
def test_whoever_is_killed_there_the_device_has_one_complete_bundle(
    step: str, store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path
) -> None:
    if step in RETURNING:
        refuses(store, cargoes[NEW])
    dying = failing(tmp_path, target, step, KILL_THERE)
    if step == "confirmed":
        assert delivery.ship(dying, cargoes[NEW]).settled == f"{target.name}: the connection was lost"
        assert complete(store, cargoes) == NEW
        return
    line = rf"the connection was lost; it runs {OLD} \({cargoes[OLD].id}\)$"
    with pytest.raises(ShippingError, match=line):
        delivery.ship(replace(dying, python=once(tmp_path, dying.python, target.python)), cargoes[NEW])
    assert complete(store, cargoes) == OLD
    assert journal(store)["step"] == ("returned" if step in (*TURNING, *RETURNING) else step)


@pytest.mark.parametrize("step", [*FEW, *map(slow, OTHERS)])
def test_whoever_ships_is_killed_and_the_device_brings_what_it_has_begun_to_an_end(
    step: str, store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path, host: Callable[..., int]
) -> None:
    if step in RETURNING:
        refuses(store, cargoes[NEW])
    assert host(failing(tmp_path, target, step, KILL_HERE), cargoes[NEW]) == -9
    after = delivery.settle(target)
    runs = complete(store, cargoes)
    assert after["current"] == cargoes[runs].id
    assert runs == (OLD if step in ("uploading", *RETURNING) else NEW)
    assert delivery.status(target)["health"] is None
    assert journal(store)["step"] == {"uploading": step, "returning": "returned"}.get(step, after["step"])


def test_what_was_interrupted_is_settled_by_the_next_shipment(
    store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "settle", lambda _: {"current": None, "champion": None, "turning": True})
    with pytest.raises(ShippingError, match="it runs nothing"):
        delivery.ship(failing(tmp_path, target, "switched", KILL_THERE), cargoes[NEW])
    assert complete(store, cargoes) == NEW  # checked, and not confirmed
    found = delivery.status(target)
    assert (found["turning"], found["step"], found["champion"]) == (True, "switched", None)
    done = delivery.ship(target, cargoes[NEW])
    line = f"a shipment of {cargoes[NEW].id} was interrupted when it was switched: {cargoes[OLD].id} runs again"
    assert (done.settled, done.before) == (line, cargoes[OLD].id)
    assert complete(store, cargoes) == NEW
    assert delivery.status(target)["turning"] is False


def test_a_failure_after_the_switch_rolls_back_by_itself(
    store: Path, target: Target, cargoes: dict[str, Cargo]
) -> None:
    refuses(store, cargoes[NEW])
    begun = time.monotonic()
    with pytest.raises(ShippingError, match=rf"restart: .*; it runs {OLD} ") as raised:
        delivery.ship(target, cargoes[NEW])
    assert time.monotonic() - begun < 30
    assert raised.value.code == 33
    assert complete(store, cargoes) == OLD
    assert len((store / "restarts").read_text()) == 2  # for the new one, and for the old one again
    assert journal(store)["why"].startswith(f"{store}/restart: ")
    with pytest.raises(ShippingError):
        back(target)
    owned(store, "exit 0")
    assert delivery.ship(target, cargoes[NEW]).id == cargoes[NEW].id


def slower(manifest: dict[str, Any]) -> None:
    manifest["figures"]["latency_ms"] |= {"value": 1e-6, "high": 2e-6}


def guessed(manifest: dict[str, Any]) -> None:
    manifest["figures"]["latency_ms"] |= {"value": 1e-6, "high": 2e-6, "source": "estimated"}


def nothing(manifest: dict[str, Any]) -> None:
    """Leave it as it is."""


HALF_WAY = """
_taken = _copy
def _copy(stream, file, count):
    if count > 10**6:
        _taken(stream, file, 10**6)
        os.kill(os.getpid(), 9)
    _taken(stream, file, count)
"""
CRASH = b"import os\nos.kill(os.getpid(), 11)\n"


@pytest.mark.parametrize(
    ("change", "more", "reason"),
    [
        (slower, {}, r"latency is \S+ ms here, \S+ times the record's 2e-06; 1.5 times are allowed"),
        (nothing, {"runner/litert.py": CRASH}, "ship.prove: crashes here: SIGSEGV"),
        slow(nothing, {"runner/litert.py": b"syntax error"}, "SyntaxError: invalid syntax"),
        slow(nothing, {"model.tflite": b"nothing"}, "RefusedError: |ValueError: "),
        slow(nothing, {"examples.outputs.npz": b""}, "EOFError: |BadZipFile: |ValueError: "),
    ],
    ids=["slower", "crash", "code", "model", "examples"],
)
def test_a_bundle_that_does_otherwise_there_never_runs(
    change: Callable[[dict[str, Any]], None],
    more: dict[str, bytes],
    reason: str,
    store: Path,
    target: Target,
    cargoes: dict[str, Cargo],
    tmp_path: Path,
) -> None:
    before = (store / "current").lstat().st_ino
    worse = changed(copied(cargoes[NEW], tmp_path), change, more)
    with pytest.raises(ShippingError, match=rf"^{target.name}: ({reason}).*; it runs {OLD} ") as raised:
        delivery.ship(target, worse)
    assert raised.value.code == 32
    assert (complete(store, cargoes), (store / "current").lstat().st_ino) == (OLD, before)  # it never turned
    assert journal(store)["step"] == "installed"


def test_examples_that_come_out_otherwise_are_told_by_how_much(
    store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path
) -> None:
    folder = copied(cargoes[NEW], tmp_path)
    path = folder / "examples.outputs.npz"
    with np.load(path) as arrays:
        expected = arrays["expected"]
    np.savez(path, expected=expected + 0.25)
    with pytest.raises(ShippingError, match=r"its examples come out otherwise here: 0\.25 off, where"):
        delivery.ship(target, changed(folder, nothing, {path.name: path.read_bytes()}))
    assert complete(store, cargoes) == OLD


@pytest.mark.slow
def test_an_estimate_is_no_promise(store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path) -> None:
    done = delivery.ship(target, changed(copied(cargoes[NEW], tmp_path), guessed, {}))
    assert done.proof is not None
    assert done.proof["record"] == {}


def copied(cargo: Cargo, folder: Path) -> Path:
    """A bundle's files, to be changed."""
    place = folder / "changed"
    for name, piece in cargo.bundle.items():
        assert isinstance(piece, Path)
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(piece, place / name)
    return place


@pytest.mark.slow
def test_so_many_old_ones_are_kept(store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path) -> None:
    others = []
    for number in range(3):
        folder = copied(cargoes[NEW], tmp_path / str(number))
        others.append(changed(folder, nothing, {"README.txt": bytes([number])}))
        delivery.ship(target, others[-1])
    assert {path.name for path in (store / "bundles").iterdir()} == {others[1].id, others[2].id}
    assert [each["id"] for each in journal(store)["champions"]] == [others[1].id, others[2].id]
    assert back(target).id == others[1].id
    delivery.ship(replace(target, keep=0), cargoes[OLD])
    assert [path.name for path in (store / "bundles").iterdir()] == [cargoes[OLD].id]


def test_an_upload_that_broke_off_goes_on(
    store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path
) -> None:
    large = np.random.default_rng(0).bytes(3_000_000)
    cargo = changed(copied(cargoes[NEW], tmp_path), nothing, {"README.txt": large})
    dying = replace(target, python=once(tmp_path, python(tmp_path, HALF_WAY, "incoming"), target.python))
    with pytest.raises(ShippingError, match=f"the connection was lost; it runs {OLD} "):
        delivery.ship(dying, cargo)
    said: list[str] = []
    assert delivery.ship(target, cargo, said.append).id == cargo.id
    there, total = map(int, re.findall(r": (\d+) of (\d+) KiB were there already", said[0])[0])
    assert there >= 10**6 // 1024
    assert total == sum(Path(str(piece)).stat().st_size for piece in cargo.bundle.values()) // 1024
    assert (store / "current" / "README.txt").read_bytes() == large


def test_what_was_planted_in_the_bundle_that_runs_goes_by_the_next_shipment(
    store: Path, target: Target, cargoes: dict[str, Cargo]
) -> None:
    (store / "current" / "planted.py").write_text("")
    assert delivery.status(target)["health"] is not None
    assert delivery.ship(target, cargoes[OLD]).proof is not None
    assert complete(store, cargoes) == OLD
    assert [path.name for path in (store / "bundles").iterdir()] == [cargoes[OLD].id]


@pytest.mark.slow
def test_what_came_out_wrong_is_sent_again(
    store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path
) -> None:
    digest = files.sha256(Path(str(cargoes[NEW].bundle["model.tflite"])))
    (store / "incoming").mkdir()
    (store / "incoming" / digest).write_bytes(b"rubbish")
    (store / "incoming" / "left over").write_bytes(b"of another shipment")
    delivery.ship(target, cargoes[NEW])
    assert complete(store, cargoes) == NEW


def test_of_two_at_once_the_second_is_told_who_ships(
    store: Path, target: Target, cargoes: dict[str, Cargo], tmp_path: Path
) -> None:
    wait = f"[time.sleep(0.02) for _ in iter(lambda: Path({str(tmp_path / 'go')!r}).exists(), True)]"
    slow = failing(tmp_path, target, "checked", wait)
    first = threading.Thread(target=delivery.ship, args=(slow, cargoes[NEW]))
    first.start()
    try:
        while first.is_alive() and journal(store)["step"] != "checked":
            time.sleep(0.01)
        who = r"\w+@\S+ ships to it since \d\d:\d\d:\d\d, by process \d+ there"
        with pytest.raises(ShippingError, match=rf"^{target.name}: {who}$") as raised:
            delivery.ship(target, cargoes[NEW])
        assert raised.value.code == 31
        assert re.fullmatch(who, delivery.status(target)["holder"])
    finally:
        (tmp_path / "go").touch()
        first.join(60)
    assert complete(store, cargoes) == NEW
    assert delivery.status(target)["holder"] is None


@pytest.mark.parametrize(
    "name", ["../outside", slow("/tmp/outside"), slow("a/../../outside"), slow("a//b"), slow("..")]
)
def test_a_name_that_leads_out_of_the_bundle_is_refused(
    name: str, store: Path, target: Target, cargoes: dict[str, Cargo]
) -> None:
    cargo = cargoes[NEW]
    strange = replace(cargo, bundle={**cargo.bundle, name: b"content"}, id="other")
    with pytest.raises(ShippingError, match="is no name of a file in the bundle; it runs") as raised:
        delivery.ship(target, strange)
    assert raised.value.code == 15
    assert complete(store, cargoes) == OLD
    assert not list(store.parent.rglob("outside"))


def test_a_device_that_is_not_there_is_told_in_a_line(
    target: Target, cargoes: dict[str, Cargo], tmp_path: Path
) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ShippingError, match=r"File exists|Not a directory"):
        delivery.ship(target, cargoes[NEW])
    old = python(tmp_path, "import nothing_of_that_name")
    with pytest.raises(link.DeviceError, match="No module named 'nothing_of_that_name'"):
        delivery.ship(replace(target, python=old, folder=str(tmp_path / "other")), cargoes[NEW])
