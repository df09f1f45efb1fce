"""What can go wrong between here and a device: each fault has a name, nothing hangs, and the device is left clean.

The fixture `board` looks after each test whether a file or a process is left on the device.
"""

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
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from tasks import paths
from tasks.bench import openssh, ssh, timed, transport
from tasks.bench.answers import Answer
from tasks.bench.request import Request, Result
from tasks.bench.setup import Setup
from tasks.bench.ssh import Remote
from tasks.errors import DeviceError
from tasks.examples import dataset
from tasks.params import Params
from tasks.records import Measurement, read
from tasks.stages import benchmark

Build = Callable[..., dict[str, Any]]
ROOT = Path(__file__).resolve().parents[3]


def ask(remote: Remote, request: dict[str, Any], *, timeout_s: float = 60.0) -> Answer:
    files = {key: Path(request[key]) for key in ("model", "inputs")}
    key = {"time": "samples", "predict": "outputs"}[request["action"]]
    return remote.run(request, files, {key: Path(request[key])}, timeout_s=timeout_s)


def open_session(python: str = sys.executable) -> None:
    with Remote("board", python):
        pass


@contextmanager
def meanwhile(action: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread, whose failure is the test's."""
    faults: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
    assert not faults, faults


@contextmanager
def fails(words: str, *, within_s: float = 20.0) -> Iterator[None]:
    """One line that names the device and the fault, in time."""
    start = time.monotonic()
    with pytest.raises(DeviceError, match=words) as caught:
        yield
    assert time.monotonic() - start < within_s
    assert "\n" not in str(caught.value)
    assert "board" in str(caught.value)


def runner(board: Any) -> int:
    """The process on the device that is measuring."""
    (pid,) = board.eventually(lambda: board.processes("ai_edge_litert"), 20)
    return int(pid)


# connecting


def test_nothing_listens(board: Any) -> None:
    board.stop()
    with fails("ssh refused: board is there, but no ssh server listens at its port"):
        open_session()


def test_the_host_key_has_changed(board: Any) -> None:
    board.stop()
    board.make_key("host")
    board.start()
    with fails("the host key of board is not the one in known_hosts") as _:
        open_session()


def test_the_host_key_is_not_known(board: Any) -> None:
    (board.folder / "known_hosts").write_text("")
    with fails("the host key of board is not known yet: connect once by hand"):
        open_session()
    assert (board.folder / "known_hosts").read_text() == ""  # and was not accepted


def test_no_advice_turns_the_checking_off() -> None:
    for meaning in openssh.REFUSALS.values():
        assert "StrictHostKeyChecking" not in meaning
        assert "\n" not in meaning


def test_the_key_is_refused(board: Any) -> None:
    board.make_key("user")
    with fails("permission denied: board takes none of this user's keys"):
        open_session()


def test_the_address_is_unknown(board: Any) -> None:
    board.config.write_text("Host board\n HostName no-such-host.invalid\n")
    with fails("the address of board is unknown"):
        open_session()


def test_something_silent_listens(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    board.stop()
    monkeypatch.setitem(openssh.OPTIONS, "ConnectTimeout", "1")
    with socket.create_server(("127.0.0.1", board.port)), fails("board does not answer at its address", within_s=5):
        open_session()


def test_a_shell_that_never_starts(board: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    board.stop()
    board.start("ForceCommand sleep 60 <&0 & cat >/dev/null; kill $!")
    monkeypatch.setattr(ssh, "CONNECT_S", 1.0)
    with fails("connected to no shell within 1 s", within_s=5):
        open_session()


def test_a_shell_that_talks(board: Any) -> None:
    board.stop()
    board.start('ForceCommand echo "Welcome home"; exec sh -c "$SSH_ORIGINAL_COMMAND"')
    with fails("what its shell prints at the start is in the way: 'Welcome home'"):
        open_session()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "asking its .*/python: no such command there"),
        (
            "cat >/dev/null; echo 'Python 3.9 there; 3.11 or later is needed' >&2; exit 1",
            "failed with code 1: Python 3.9",
        ),
        ("cat >/dev/null; echo hello", "answers rubbish: 'hello'"),
        ("cat >/dev/null; echo '{}'", "answers rubbish: '{}'"),
    ],
)
def test_a_python_that_is_none(board: Any, tmp_path: Path, script: str | None, words: str) -> None:
    python = tmp_path / "python"
    if script:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    with fails(words):
        open_session(str(python))


# running


def test_the_runner_is_killed_mid_window(board: Any, request_of: Build) -> None:
    with (
        Remote("board", sys.executable) as remote,
        fails("the runner was killed by SIGKILL, not by Tercet; its last words"),
        meanwhile(lambda: os.kill(runner(board), signal.SIGKILL)),
    ):
        ask(remote, request_of("int8", "time", window_s=60))


def test_the_runner_prints_rubbish(board: Any, request_of: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    rubbish = {
        "print('hello')": "ended with code 0 and no answer.*instead of an answer: 'hello",
        "import os; os.write(1, bytes(range(256)) * 99)": "no answer.*instead of an answer: ",
        "raise SystemExit('numpy is missing')": "code 1 and no answer; its last words: numpy is missing",
        'print(\'{"status": "fine"}\')': "no answer",
    }
    with Remote("board", sys.executable) as remote:
        for start, words in rubbish.items():
            monkeypatch.setattr(transport, "START", start)
            with fails(words):
                ask(remote, request_of("int8", "time"))


def test_the_runner_takes_too_long(board: Any, request_of: Build) -> None:
    with Remote("board", sys.executable) as remote:
        request = request_of("int8", "time", window_s=60)
        with fails("no answer within 1 s; the process there was killed", within_s=5):
            ask(remote, request, timeout_s=1.0)
        assert board.eventually(lambda: not board.processes("runner.__main__"), 5)  # though the session goes on
        assert ask(remote, request | {"window_s": 0.01}).status == "ok"


def test_a_step_takes_too_long(board: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Remote("board", sys.executable) as remote:
        monkeypatch.setattr(ssh, "TRANSFER_S", 0.001)
        with fails("sending packages: not done within", within_s=5):
            (tmp_path / "none").write_bytes(b"")
            remote.unpack(tmp_path / "none")


def test_the_connection_is_cut(board: Any, request_of: Build) -> None:
    def cut() -> None:
        runner(board)
        for pid in servers(board):
            os.kill(pid, signal.SIGKILL)

    with (
        Remote("board", sys.executable) as remote,
        fails("time of .*: the connection was lost"),
        meanwhile(cut),
    ):
        ask(remote, request_of("int8", "time", window_s=60))


def test_a_lost_connection_is_not_made_anew(board: Any, request_of: Build) -> None:
    with Remote("board", sys.executable) as remote:
        for pid in servers(board):
            os.kill(pid, signal.SIGKILL)
        with fails("the connection was lost"):
            ask(remote, request_of("int8", "time"))
    assert (board.folder / "log").read_text().count("Accepted publickey") == 1


def test_the_device_falls_silent(board: Any, request_of: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssh, "ALIVE_S", 1)
    monkeypatch.setitem(openssh.OPTIONS, "ServerAliveCountMax", "1")
    monkeypatch.setattr(ssh, "CLOSE_S", 0.5)
    frozen: list[int] = []

    def freeze() -> None:
        runner(board)
        frozen.extend(servers(board))
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)

    try:
        with (
            Remote("board", sys.executable) as remote,
            fails("the connection was lost", within_s=15),
            meanwhile(freeze),
        ):
            ask(remote, request_of("int8", "time", window_s=60))
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)  # back on the net, it finds its caller gone, and tidies up


def servers(board: Any) -> list[int]:
    """The processes of sshd that serve a connection."""
    main = int((board.folder / "pid").read_text())
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().rpartition(")")
        except OSError:
            continue
        if name.endswith("(sshd"):
            parents[int(folder.name)] = int(rest.split()[1])
    return [pid for pid in parents if pid != main and (parents[pid] == main or parents.get(parents[pid]) == main)]


def test_tercet_is_killed(board: Any, request_of: Build) -> None:
    request = request_of("int8", "time", window_s=60)
    code = (
        "import json, sys; from pathlib import Path; from tasks.bench import ssh\n"
        "request, ssh.SOCKETS = json.load(sys.stdin), sys.argv[1]\n"
        "with ssh.Remote('board', sys.executable) as remote:\n"
        "    remote.run(request, {key: Path(request[key]) for key in ('model', 'inputs')}, {}, timeout_s=60)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with TemporaryDirectory(dir=ssh.SOCKETS) as sockets:  # which a killed process leaves
        command = [sys.executable, "-c", code, sockets]
        caller = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
        assert caller.stdin
        with caller.stdin as stdin:
            stdin.write(json.dumps(request).encode())
        runner(board)
        assert not board.clean()
        caller.kill()
        caller.wait(10)
        assert board.eventually(board.clean, 5)


def test_a_person_interrupts(board: Any, request_of: Build) -> None:
    def interrupt() -> None:
        runner(board)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background command ignores it
    try:
        with pytest.raises(KeyboardInterrupt), Remote("board", sys.executable) as remote, meanwhile(interrupt):
            ask(remote, request_of("int8", "time", window_s=60))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any(board.tmp.iterdir())  # at once: the session waits for it


# the disk

needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0,
    reason="a full disk is a small file system, and only root mounts one",
)


@contextmanager
def small_disk(board: Any, kib: int) -> Iterator[Path]:
    """The device with so much space; gives its folder, as it sees it."""
    board.stop()
    mount = f'mount -t tmpfs -o size={kib}k none "$0" && exec "$@"'
    board.start(within=["unshare", "--mount", "sh", "-c", mount, str(board.tmp)])
    told = board.folder / "pid"
    assert board.eventually(lambda: told.is_file() and told.read_text().endswith("\n"))
    pid = int(told.read_text())
    folder = Path(f"/proc/{pid}/root{board.tmp}")
    yield folder
    assert board.eventually(lambda: not any(folder.iterdir()))


@needs_mount
def test_the_disk_is_full_while_sending(board: Any, request_of: Build) -> None:
    with small_disk(board, 600), Remote("board", sys.executable) as remote:
        noise = np.random.default_rng(1).random((500, 8, 8, 1))
        with fails(r"sending .*inputs\.npz: the disk is full there: .*tercet-"):
            ask(remote, request_of("int8", "predict", {"image": noise.astype(np.float32).repeat(8, axis=0)}))


@needs_mount
def test_the_disk_is_full_for_what_the_runner_writes(board: Any, request_of: Build) -> None:
    with small_disk(board, 600) as folder, Remote("board", sys.executable) as remote:
        (session,) = folder.iterdir()
        request = request_of("int8", "predict")
        ask(remote, request)
        (session / "outputs.npz").unlink()
        (session / "filler").write_bytes(bytes(shutil.disk_usage(folder).free))
        with fails("predict of .*: the disk is full there"):
            ask(remote, request)


# the stage


@pytest.fixture
def sessions(board: Any, images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The stage with a session there in place of its windows; how many sessions there were at each moment."""
    monkeypatch.setattr(
        dataset, "load", lambda _split: dataset.Arrays({"image": images}, {dataset.LABEL: np.zeros(len(images), int)})
    )
    seen: list[int] = []

    def measure(request: Request, setup: Setup) -> Result:
        for _ in range(10):
            seen.append(sum(1 for _ in board.tmp.iterdir()))
            time.sleep(0.04)
        return Result(request.result(status="invalid", reason="nothing was measured"))

    monkeypatch.setattr(timed, "measure", measure)
    monkeypatch.setattr(timed, "kept", lambda *_: {})
    return seen


def test_a_device_that_vanishes_loses_its_pair_alone_and_the_next_run_makes_it_good(
    board: Any, params: Params, sessions: list[int]
) -> None:
    kept = paths.benchmark("float32", "board")
    benchmark.benchmark(params, "float32", "board")
    before = kept.read_bytes()
    board.stop()
    with pytest.raises(DeviceError, match=r"^board: ssh refused"):
        benchmark.benchmark(params, "int8", "board")
    assert kept.read_bytes() == before
    assert not paths.benchmark("int8", "board").exists()
    board.start()
    benchmark.benchmark(params, "int8", "board")
    assert read(Measurement, paths.benchmark("int8", "board")).variant == "int8"
    assert kept.read_bytes() == before


def test_two_runs_on_one_device_wait_for_each_other(board: Any, params: Params, sessions: list[int]) -> None:
    with meanwhile(lambda: benchmark.benchmark(params, "int8", "board")):
        benchmark.benchmark(params, "float32", "board")
    assert sessions == [1] * 20
    assert {read(Measurement, paths.benchmark(v, "board")).variant for v in ("int8", "float32")} == {"int8", "float32"}
