"""Locks of a machine, with holders that are other processes."""

import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.bench import lockfile, locks
from tasks.errors import DeviceError

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import time
from tasks.bench import locks
with locks.hold({!r}, exclusive={}):
    print(flush=True)
    time.sleep(60)
"""


@pytest.fixture
def resource(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A lock of this test's own."""
    monkeypatch.setenv(locks.VARIABLE, str(tmp_path))
    return "test"


def child(code: str) -> "subprocess.Popen[str]":
    """A process that has printed its first line."""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def test_an_exclusive_holder_keeps_everybody_out_until_it_is_killed(
    resource: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "SAY_AFTER_S", 0.1)
    holder = child(HOLDER.format(resource, True))
    killed_at: list[float] = []

    def kill(*_: object) -> None:
        os.kill(holder.pid, signal.SIGKILL)
        killed_at.append(time.monotonic())

    previous = signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, 0.4)
    try:
        with caplog.at_level(logging.WARNING), locks.hold(resource, exclusive=False):
            assert killed_at
            assert time.monotonic() - killed_at[0] < 1
    finally:
        signal.signal(signal.SIGALRM, previous)
        end(holder)
    (message,) = [record.message for record in caplog.records]
    assert message.startswith(f"waiting for 'test': process {holder.pid} of {ROOT} holds it since 2")


def test_shared_holders_do_not_wait_for_each_other_and_say_nothing(
    resource: str, caplog: pytest.LogCaptureFixture
) -> None:
    holder = child(HOLDER.format(resource, False))
    try:
        start = time.monotonic()
        with locks.hold(resource, exclusive=False):
            assert time.monotonic() - start < 0.5
    finally:
        end(holder)
    assert not caplog.records


def test_threads_of_one_process_wait_for_each_other_in_silence(
    resource: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "SAY_AFTER_S", 0.05)
    inside: list[str] = []

    def measure() -> None:
        with locks.hold(resource, exclusive=True):
            inside.append("in")
            time.sleep(0.15)
            inside.append("out")

    threads = [threading.Thread(target=measure) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == ["in", "out"] * 3
    assert not caplog.records


def test_the_lock_is_open_to_every_user_and_stays(resource: str, tmp_path: Path) -> None:
    with locks.hold(resource, exclusive=True):
        pass
    assert (tmp_path / "tercet-test.lock").stat().st_mode & 0o777 == 0o666
    with locks.hold(resource, exclusive=True):  # it is free again
        pass


def test_a_holder_that_is_stopped_is_named_with_what_to_do(
    resource: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "SAY_AFTER_S", 0.05)
    holder = child(HOLDER.format(resource, True))
    os.kill(holder.pid, signal.SIGSTOP)
    threading.Timer(1.0, holder.kill).start()
    try:
        with locks.hold(resource, exclusive=True):
            pass
    finally:
        end(holder)
    assert f"`kill -CONT {holder.pid}` lets it go on" in caplog.text


def test_one_that_shares_a_lock_and_has_ended_is_not_named(
    resource: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "SAY_AFTER_S", 0.05)
    first, last = child(HOLDER.format(resource, False)), child(HOLDER.format(resource, False))
    end(last)
    threading.Timer(0.5, first.kill).start()
    try:
        with locks.hold(resource, exclusive=True):
            pass
    finally:
        end(first)
    assert caplog.messages == ["waiting for 'test': another process holds it"]


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b"\0" * 5000, b'{"pid": "x"}'])
def test_what_stands_in_the_file_never_matters_to_the_lock(resource: str, tmp_path: Path, rubbish: bytes) -> None:
    (tmp_path / "tercet-test.lock").write_bytes(rubbish)
    with locks.hold(resource, exclusive=True):
        pass


@pytest.mark.parametrize("trap", ["link", "dangling", "folder", "pipe"])
def test_a_trap_in_place_of_the_file_is_refused_and_harms_nothing(resource: str, tmp_path: Path, trap: str) -> None:
    path, victim = tmp_path / "tercet-test.lock", tmp_path / "victim"
    if trap == "link":
        victim.write_text("mine")
        victim.chmod(0o600)
    if trap in ("link", "dangling"):
        path.symlink_to(victim)
    elif trap == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(DeviceError, match="must be a plain file"), locks.hold(resource, exclusive=False):
        pass
    if trap == "link":
        assert victim.read_text() == "mine"
        assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    else:
        assert not victim.exists()


def test_a_file_that_may_only_be_read_locks_all_the_same(resource: str, tmp_path: Path) -> None:
    """As of another user whom a umask has kept from opening it to all; root, whom nothing keeps out, cannot tell."""
    path = tmp_path / "tercet-test.lock"
    path.touch(mode=0o444)
    with locks.hold(resource, exclusive=True):
        assert path.exists()


def test_the_place_is_the_same_whatever_tmpdir_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(locks.VARIABLE)
    usual = lockfile.folder()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert lockfile.folder() == usual
    assert str(usual) in lockfile.PLACES
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    monkeypatch.setattr(lockfile, "PLACES", (str(closed), "/tmp"))
    assert lockfile.folder() == Path("/tmp")


def test_a_place_that_may_only_be_read_is_passed_over(tmp_path: Path) -> None:
    """As /run/lock in a container without a disk of its own: its mode is open to all, and the kernel refuses."""
    place = tmp_path / "lock"
    place.mkdir()
    place.chmod(0o1777)
    code = f"""
from pathlib import Path
from tasks.bench import lockfile, locks
lockfile.PLACES = ({str(place)!r}, {str(tmp_path)!r})
Path({str(tmp_path)!r}).chmod(0o1777)
with locks.hold("test", exclusive=True):
    print(lockfile.folder())
lockfile.PLACES = ({str(place)!r},)
try:
    locks.hold("test", exclusive=True).__enter__()
except locks.DeviceError as error:
    print(error)
"""
    mounted = 'mount --bind -o ro "$0" "$0" && exec "$@"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", mounted, str(place), sys.executable, "-c", code]
    env = {name: value for name, value in os.environ.items() if name != locks.VARIABLE}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    if "unshare: " in done.stderr or "mount: " in done.stderr:
        pytest.skip("no hardware: the kernel lets nobody mount here")
    assert not done.stderr
    taken, refused = done.stdout.splitlines()
    assert taken == str(tmp_path)
    assert refused == (
        f"{place}/tercet-test.lock: the lock cannot be opened: Read-only file system; it must be a plain file, in a "
        "folder that all users may write to (TERCET_LOCKS names another one)"
    )
