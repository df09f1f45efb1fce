"""Who connects and asks nothing, or half of it, keeps nobody from being answered."""

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks.serve import connections
from tasks.serve.app import Limits
from tasks.serve.pool import Answer, Job
from tests.serving import WAIT_S, Client, bundle, served
from tests.tasks.serve.test_limits import service

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
HALF = HEALTH[:-4]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("connections") / "b")


@pytest.fixture
def go() -> threading.Event:
    return threading.Event()


@pytest.fixture
def client(folder: Path, go: threading.Event) -> Iterator[Client]:
    def handle(jobs: list[Job]) -> list[Answer]:
        assert go.wait(WAIT_S)
        return [Answer(200, b"{}")] * len(jobs)

    with served(service(folder, handle, Limits(seconds=WAIT_S))) as client:
        yield client


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 1)


def silent(client: Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", client.port), timeout=WAIT_S)


def told(connection: socket.socket) -> bytes:
    """What comes on a connection until the server closes it."""
    parts = []
    while part := connection.recv(1000):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("sent", [b"", b"G", HALF])
@pytest.mark.usefixtures("brief")
def test_where_no_request_comes_the_connection_is_closed(client: Client, sent: bytes) -> None:
    with silent(client) as connection:
        connection.sendall(sent)
        assert told(connection) == b""


@pytest.mark.usefixtures("brief")
def test_so_it_is_behind_an_answer_whatever_half_comes(client: Client) -> None:
    with silent(client) as connection:
        connection.sendall(HEALTH + HALF)
        assert told(connection).count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.usefixtures("brief")
def test_a_request_may_take_longer_than_that(client: Client, go: threading.Event) -> None:
    with client.begin("/predict") as slow:
        time.sleep(1.3)
        slow.sendall(b" " * 99)
        slow.sendall(HEALTH)  # in a pipe behind it
        time.sleep(1.3)
        go.set()
        assert told(slow).count(b"HTTP/1.1 200 OK") == 2


def test_the_longest_silent_one_leaves_where_there_are_too_many(
    folder: Path, go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_S", WAIT_S)
    monkeypatch.setattr(connections, "allowed", lambda: 3)
    go.set()
    handle = lambda jobs: [Answer(200, b"{}")] * len(jobs)  # noqa: E731
    made = service(folder, handle, Limits(seconds=WAIT_S))
    with served(made) as client, ExitStack() as stack:
        asking = stack.enter_context(client.begin("/predict"))
        until = time.monotonic() + WAIT_S
        while not made.pool.inside and time.monotonic() < until:
            time.sleep(0.01)
        waiting = [stack.enter_context(silent(client)) for _ in range(8)]
        assert client.get("/health").status == 200
        assert [told(each) for each in waiting[:6]] == [b""] * 6
        waiting[-1].sendall(HEALTH)
        assert waiting[-1].recv(100).startswith(b"HTTP/1.1 200 OK")
        asking.sendall(b" " * 99)
        assert asking.recv(100).startswith(b"HTTP/1.1 200 OK"), "a request is not cut off"


def test_there_are_no_more_than_files_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def limited(files: int) -> int:
        monkeypatch.setattr(resource, "getrlimit", lambda _kind: (files, files))
        return connections.allowed()

    assert limited(10**6) == limited(resource.RLIM_INFINITY) == connections.MOST
    assert limited(10) == 1
    before = limited(2000)
    with Path("/dev/null").open():
        assert limited(2000) == before - 1
    assert before < 2000 - connections.SPARE
