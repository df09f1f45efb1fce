"""Tracking servers that are away, broken or back again, and their addresses."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tasks import track, tracking_server
from tasks.errors import TrackingError
from tasks.params import Params

Store = Any  # of conftest.py
Stream = Callable[..., None]  # likewise
RECORDS = 4 + 2 + 2 + 2  # runs of pairs, runs of models, artifacts, aliases


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
    told = str(raised.value) + caplog.text + track.ui_command()
    assert "secret" not in told
    assert "someone" not in told
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server.DEFAULT_URI)
    assert track.publish(params).sent == RECORDS


def test_a_file_that_is_no_database_is_told_fast(store: Store, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("other.db").write_text("something else entirely " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    start = time.monotonic()
    with pytest.raises(TrackingError, match="not a database"):
        track.publish(params)
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://u:p@host:5000", "http://host:5000"),
        ("postgresql+psycopg2://u:p@s@db/x", "postgresql+psycopg2://db/x"),
        ("https://host/a@b", "https://host/a@b"),
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
    ],
)
def test_credentials_are_cut_out(uri: str, shown: str) -> None:
    assert tracking_server.redact(f"no answer from {uri} today") == f"no answer from {shown} today"


def test_the_pages_are_opened_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert track.ui_command() == "mlflow ui --backend-store-uri sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://u:p@tracking:5000/")
    assert track.ui_command() == "http://tracking:5000/"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://u:p@db/mlflow")
    assert track.ui_command() == 'mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI"'


@pytest.mark.slow
def test_a_server_that_comes_back_gets_everything_once(
    store: Store, params: Params, stream: Stream, monkeypatch: pytest.MonkeyPatch, database: Path
) -> None:
    port = closed_port()
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
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
        track.LEDGER.unlink()
        assert track.publish(params) == track.Published(0, RECORDS, 0, uri)
        assert len(served.runs()) == 6
        assert sorted(served.versions().values()) == ["float32", "int8"]
        assert served.curve("model baseline", "train_loss") == [(0, 1.5), (1, 0.7)]
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
