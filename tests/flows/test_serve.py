"""`tercet serve` and `tercet watch` as commands: one line for what is wrong, and an end without loss."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bundles import noise
from tests.serving import WAIT_S, Client, Told, bundle

TERCET = str(Path(sys.executable).with_name("tercet"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("serve") / "b")


@contextmanager
def started(folder: Path, *words: str) -> "Iterator[tuple[subprocess.Popen[str], Client]]":
    """The command at work, and a client of it; ended afterwards if it has not."""
    command = [TERCET, "serve", str(folder), "--port", "0", "--workers", "1", "--limit", str(WAIT_S), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder.parent)
    assert process.stdout
    try:
        process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+) ", process.stdout.readline())
        assert found
        yield process, Client(int(found[1]))
    finally:
        process.kill()
        process.communicate(timeout=WAIT_S)


def test_it_answers_is_watched_and_ends_well(folder: Path, tmp_path: Path) -> None:
    with started(folder) as (process, client):
        images = noise(1100).tolist()
        for k in range(0, 1100, 220):
            assert client.predict(*images[k : k + 220]).status == 200
        watched = subprocess.run(
            [TERCET, "watch", f"http://127.0.0.1:{client.port}"],
            capture_output=True, text=True, timeout=WAIT_S, check=False,
        )  # fmt: skip
        (tmp_path / "counts.json").write_bytes(client.get("/counts").content)
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        assert process.stderr
        assert process.stderr.read() == ""
    assert watched.stdout.startswith("1,100 answers in 11 windows: "), watched.stderr
    assert watched.returncode == (0 if "no change" in watched.stdout else 1)
    told = json.loads((tmp_path / "counts.json").read_text())
    for window in told["windows"][6:]:
        window["labels"] = {"south": 100}  # now another label alone
    (tmp_path / "counts.json").write_text(json.dumps(told))
    done = subprocess.run(
        [TERCET, "watch", "counts.json"], capture_output=True, text=True, timeout=WAIT_S, check=False, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "label south: 0 → 1, seen after 600 answers" in done.stdout


def test_what_is_being_answered_when_it_is_ended_is_answered(folder: Path) -> None:
    many = noise(256).tolist()
    with started(folder) as (process, client):
        assert client.predict(many[0]).status == 200
        found: list[Told] = []
        asking = threading.Thread(target=lambda: found.append(client.predict(*many)))
        asking.start()
        while b"tercet_inside 0.0" in client.get("/metrics").content and not found:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        asking.join(WAIT_S)
        process.wait(WAIT_S)
    assert [told.status for told in found] == [200]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve", "absent"], "absent: no such folder; that of a bundle is expected, such as out/bundles/host-cpu"),
        (["serve", "b", "--workers", "4096"], r"4096 workers with 1 threads each are more than the \d+ processors .*"),
        (["serve", "b", "--host", "192.0.2.1", "--port", "0"], r"192\.0\.2\.1:0: Cannot assign requested address; .*"),
        (["watch", "http://127.0.0.1:1"], r"http://127\.0\.0\.1:1: .*Connection refused; is `tercet serve` at work .*"),
        (["watch", "absent.json"], r"absent\.json: No such file or directory; an address .* is expected"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(folder: Path, words: list[str], said: str) -> None:
    done = subprocess.run(
        [TERCET, *words], capture_output=True, text=True, timeout=WAIT_S, check=False, cwd=folder.parent
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(f"tercet: {said}\n", done.stderr), done.stderr
