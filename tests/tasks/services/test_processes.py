"""A service outlives who starts it, is found again, and ends with all that it has started."""

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from tasks.errors import TercetError
from tasks.services.http import answers
from tasks.services.processes import MARK, Service, running, start, stop

SERVE = (
    "import http.server as h; h.ThreadingHTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
)
PARENT = (  # of a child in a session of its own, as Prefect's worker has
    "import subprocess as s, sys, time; c = s.Popen([sys.executable, '-c', 'import time; time.sleep(99)'],"
    " start_new_session=True); print(c.pid, flush=True); time.sleep(99)"
)


def service(folder, code, ready=lambda: True, **options):
    return Service("tried", (sys.executable, "-c", code), folder, ready=ready, environment=os.environ, **options)


@pytest.fixture
def web(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = service(tmp_path / "web", SERVE.format(port=port), lambda: answers(f"http://127.0.0.1:{port}"))
    yield found
    stop(found)


@pytest.fixture
def parent(tmp_path):
    found = service(tmp_path / "parent", PARENT)
    yield found
    stop(found)


def child_of(parent):
    end = time.monotonic() + 20
    while not (said := parent.log.read_text().split()) and time.monotonic() < end:
        time.sleep(0.05)
    return psutil.Process(int(said[0]))


def ended(process, limit_s=10):
    end = time.monotonic() + limit_s
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_it_is_started_once_and_is_another_session(web):
    assert start(web)
    process = running(web)
    assert not start(web)
    assert running(web).pid == process.pid
    assert os.getsid(process.pid) != os.getsid(0)
    assert stop(web)
    assert ended(process)
    assert not stop(web)


def test_who_started_it_may_be_killed(tmp_path):
    kept = tmp_path / "kept"
    code = (
        "import os, sys, time; from pathlib import Path; from tasks.services.processes import Service, start\n"
        "start(Service('kept', ('sleep', '99'), Path(sys.argv[1]), ready=lambda: True, environment=os.environ))\n"
        "print('up', flush=True); time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(kept)], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout.readline() == "up\n"
        starter.send_signal(signal.SIGKILL)
    found = Service("kept", ("sleep", "99"), kept, ready=lambda: True, environment=os.environ)
    process = running(found)
    assert process.name() == "sleep"
    assert stop(found)
    assert ended(process)


def test_what_it_has_started_ends_with_it_wherever_it_sits(parent):
    start(parent)
    child = child_of(parent)
    assert os.getsid(child.pid) == child.pid
    stop(parent)
    assert ended(child)


def test_what_a_killed_one_has_left_ends_too(parent):
    start(parent)
    child, own = child_of(parent), running(parent)
    own.kill()
    assert ended(own)
    assert running(parent) is None
    assert child.environ()[MARK] == str(parent.folder)
    assert not stop(parent)
    assert ended(child)


def test_one_that_heeds_no_signal_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.services.processes.STOP_S", 0.5)
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    )
    deaf = service(tmp_path / "deaf", code)
    deaf = service(tmp_path / "deaf", code, ready=lambda: deaf.log.exists() and "deaf" in deaf.log.read_text())
    start(deaf)
    process = running(deaf)
    assert stop(deaf)
    assert ended(process)


def test_one_that_ends_at_once_is_told_in_its_last_words(tmp_path):
    broken = service(tmp_path / "broken", "raise SystemExit('no such disk')", ready=lambda: False)
    with pytest.raises(TercetError, match=r"tried ended while it started: no such disk"):
        start(broken)


def test_one_that_never_answers_is_told(tmp_path):
    mute = service(tmp_path / "mute", "import time; time.sleep(99)", ready=lambda: False, limit_s=0.5)
    with pytest.raises(TercetError, match=r"was not ready within 0\.5 s"):
        start(mute)
    stop(mute)


def test_a_number_that_another_process_has_now_is_nobodys(tmp_path):
    old = service(tmp_path, "")
    with subprocess.Popen(["sleep", "99"]) as stranger:
        old.number.write_text(str(stranger.pid))
        long_ago = time.time() - 3600
        os.utime(old.number, (long_ago, long_ago))
        assert running(old) is None
        assert not stop(old)
        assert stranger.poll() is None
        stranger.kill()
