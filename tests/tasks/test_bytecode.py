"""A full disk leaves no half of a compiled module."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks import bytecode

ROOT = Path(__file__).resolve().parents[2]
# a file may be that long and no longer: what writes more writes a part of it, as on a disk that is full
FULL = (
    "import resource, signal, sys; sys.path.insert(0, sys.argv[1]); {first}\n"
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (256, 256)); import large"
)


def imported(folder, first="import tasks", code=FULL):
    command = [sys.executable, "-c", code.format(first=first), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    (tmp_path / "large.py").write_text(f"words = {[f'word {number}' for number in range(100)]}\n")
    return tmp_path


def test_what_was_written_in_part_is_taken_away(folder):
    assert imported(folder).returncode == 0
    assert not list(folder.rglob("*.pyc"))
    assert imported(folder, code="import sys; sys.path.insert(0, sys.argv[1]); import tasks, large").returncode == 0
    assert len(list(folder.rglob("*.pyc"))) == 1


@pytest.mark.skipif(sys.version_info >= bytecode.MENDED, reason="no hardware: this Python does so by itself")
def test_python_alone_leaves_it_and_fails_from_then_on(folder):
    assert imported(folder, first="").returncode == 0
    assert "marshal data too short" in imported(folder, first="").stderr
