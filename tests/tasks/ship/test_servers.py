"""Tracking servers that are away, broken or back again, and their addresses."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tasks import paths, track
from tasks.errors import TrackingError
from tasks.params import Params
from tasks.track import client, contents, ledger, publisher, server
from tasks.track import stream as curves_module

Store = Any  # of conftest.py
Stream = Callable[..., None]  # likewise
RECORDS = 4 + 2 + 1 + 2 + 2  # runs of pairs, of models and of the report, artifacts, aliases


def closed_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def test_a_server_that_is_away_is_told_fast_and_loses_nothing(
    store: Store, params: Params, stream: Stream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = closed_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://someone:secret@127.0.0.1:{port}")
    start = time.monotonic()
    stream(range(2))
    with pytest.raises(TrackingError) as raised:
        track.publish(params)
    assert time.monotonic() - start < 3
    assert f"http://127.0.0.1:{port}" in str(raised.value)
    assert "tercet publish" in str(raised.value)
    assert len(caplog.records) == 1, "one line for the curve"
    told = str(raised.value) + caplog.text + track.hint()
    assert "secret" not in told
    assert "someone" not in told
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.DEFAULT_URI)
    assert track.publish(params).sent == RECORDS


def test_a_file_that_is_no_database_is_told_fast(store: Store, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("other.db").write_text("something else entirely " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    start = time.monotonic()
    with pytest.raises(TrackingError, match="not a database"):
        track.publish(params)
    assert time.monotonic() - start < 3


class Silent:
    """A server on a port of its own that takes every connection and answers as `answer` says, until it is closed."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.taken: list[socket.socket] = []
        self.answer = answer
        self.serving = threading.Thread(target=self._serve, daemon=True)
        self.serving.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                taken, _ = self.socket.accept()
                self.taken.append(taken)
                threading.Thread(target=self._answer, args=(taken,), daemon=True).start()

    def _answer(self, taken: socket.socket) -> None:
        with suppress(OSError):
            self.answer(taken)

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)  # ends `accept`, which would take one more connection of a closed socket
        self.serving.join()
        for opened in (self.socket, *self.taken):
            opened.close()


def drip(taken: socket.socket) -> None:
    taken.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        taken.sendall(b" ")
        time.sleep(0.2)


@pytest.mark.parametrize("answer", [drip, lambda taken: time.sleep(60)], ids=["drips", "is silent"])
def test_a_server_that_never_ends_an_answer_holds_nobody_up(
    store: Store, params: Params, stream: Stream, monkeypatch: pytest.MonkeyPatch, answer: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    client.import_mlflow()  # its seconds are not the server's
    served = Silent(answer)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.uri)
    monkeypatch.setattr(publisher, "PATIENCE_S", 1.0)
    monkeypatch.setattr(curves_module, "PATIENCE_S", 1.0)
    start = time.monotonic()
    stream(range(2))
    with pytest.raises(TrackingError, match="no end after 1 s") as raised:
        track.publish(params)
    assert time.monotonic() - start < 8
    assert served.uri in str(raised.value)
    assert ["no end after 1 s" in record.message for record in caplog.records] == [True]
    served.close()


def test_a_file_has_the_time_that_its_size_takes(store: Store, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "SLOWEST_BYTES_S", 10)
    limits = {type(entry).__name__: publisher._limit_s(entry) for entry in contents.collect(params)}
    size = (paths.artifact("int8") / "model.tflite").stat().st_size
    assert limits["Artifact"] == pytest.approx(publisher.PATIENCE_S + size / 10)
    assert limits["Run"] == publisher.PATIENCE_S


def test_a_fault_of_our_own_is_not_the_servers(store: Store, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, entry: Any) -> str:
        raise KeyError("nobody")

    monkeypatch.setattr(publisher.Store, "send", broken)
    with pytest.raises(TrackingError) as raised:
        track.publish(params)
    assert "fault of Tercet itself, test_servers.py:" in str(raised.value)
    assert "KeyError: 'nobody'" in str(raised.value)
    assert "tracking server" not in str(raised.value)


@pytest.mark.parametrize("page", [b"<html>a portal</html>", b"[]", b"null", b'{"experiment": 1}', b"\xff\xfe"])
def test_a_server_that_answers_something_else_is_told_in_a_line(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch, page: bytes
) -> None:
    def answer(taken: socket.socket) -> None:
        taken.recv(65536)
        taken.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))
        taken.close()

    served = Silent(answer)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", served.uri)
    with pytest.raises(TrackingError) as raised:
        track.publish(params)
    served.close()
    assert str(raised.value).startswith(f"tracking server {served.uri}: ")
    assert "\n" not in str(raised.value)


def test_what_a_password_makes_of_a_port_is_not_repeated(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:S3cr3t/pass@host")
    with pytest.raises(TrackingError, match=r"an address is expected.* %2F") as raised:
        track.publish(params)
    assert "S3cr3t" not in str(raised.value)


@pytest.mark.slow
def test_a_server_that_comes_back_gets_everything_once(
    store: Store, params: Params, stream: Stream, monkeypatch: pytest.MonkeyPatch, database: Path,
    capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
    port = closed_port()
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:S3cr3tPass@127.0.0.1:{port}")
    with pytest.raises(TrackingError):
        track.publish(params)
    shutil.copyfile(database, "server.db")
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", "served"]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    with Path("server.log").open("wb") as log:
        server = subprocess.Popen([*command, *stores], stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        wait_for(f"{uri}/health", server)
        served = type(store)(uri)
        stream(range(2))
        assert track.publish(params).sent == RECORDS
        ledger.LEDGER.unlink()
        assert track.publish(params) == track.Published(0, RECORDS, 0, uri)
        assert len(served.runs()) == 7
        assert sorted(served.versions().values()) == ["float32", "int8"]
        assert served.curve("model baseline", "train_loss") == [(0, 1.5), (1, 0.7)]
        assert "S3cr3tPass" not in "".join(capfd.readouterr())
        assert "S3cr3tPass" not in ledger.LEDGER.read_text()
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)


def wait_for(address: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(240):
        assert server.poll() is None, Path("server.log").read_text()
        try:
            urlopen(address, timeout=2).close()
        except (URLError, OSError):
            time.sleep(0.5)
        else:
            return
    raise AssertionError(Path("server.log").read_text())
