"""Temporary folders whose owners are killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks import scratch

ROOT = Path(__file__).resolve().parents[2]
OWNER = """
import time
from tasks.scratch import scratch
with scratch("test") as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A TMPDIR that no process has looked into."""
    monkeypatch.setattr(scratch.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def owner() -> tuple["subprocess.Popen[str]", Path]:
    """A process in the block of such a folder."""
    process = subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def age(folder: Path) -> None:
    then = time.time() - 3600
    os.utime(folder, (then, then))


def test_the_folder_goes_with_the_block_however_that_ends(temporary: Path) -> None:
    def fail() -> None:
        with scratch.scratch("test") as folder:
            (folder / "file").write_text("x")
            assert folder.parent == temporary
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not any(temporary.iterdir())


def test_what_a_killed_process_left_goes_and_what_a_living_one_uses_stays(temporary: Path) -> None:
    (killed, left), (living, used) = owner(), owner()
    try:
        (left / "large").write_bytes(b"x" * 1000)
        killed.kill()
        killed.wait()
        others = [temporary / "tercet-scratch", temporary / "tercet-mine", temporary / "tercet-scratch-test-link"]
        for mine in others[:2]:
            mine.mkdir()
        others[2].symlink_to(others[1])
        for folder in (left, used, *others[:2]):
            age(folder)
        with scratch.scratch("test") as folder:
            assert folder.is_dir()
            assert not left.exists()
            assert used.is_dir()
            assert all(path.is_dir() for path in others)
    finally:
        for process in (killed, living):
            process.kill()
            process.wait()
            assert process.stdout
            process.stdout.close()


REWRITTEN = """
import os
from tasks.training.fit import import_tensorflow
import_tensorflow()
import tensorflow as tf

@tf.function
def rewritten(x):
    return x if tf.reduce_sum(x) > 0 else -x

rewritten(tf.constant([1.0]))
print(*sorted(path for _, _, files in os.walk(os.environ["TMPDIR"]) for path in files), flush=True)
{end}
"""


@pytest.mark.parametrize(
    "end", [pytest.param("", marks=pytest.mark.slow), "os.kill(os.getpid(), 9)"], ids=["ends", "is killed"]
)
def test_tensorflow_leaves_no_rewritten_code_for_good(end: str, temporary: Path) -> None:
    module = temporary / "rewrites.py"  # it rewrites what it can read in a file
    module.write_text(REWRITTEN.format(end=end))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    told = subprocess.run(
        [sys.executable, module],
        env=environment,
        cwd=temporary,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "__autograph_generated_file" in told.stdout, told.stderr
    for folder in temporary.glob("tercet-scratch-*"):
        age(folder)
    with scratch.scratch("test"):
        pass
    assert [path.name for path in temporary.iterdir()] == ["rewrites.py"]


def test_a_folder_that_was_just_made_is_left_alone(temporary: Path) -> None:
    """Its owner may be about to take the lock."""
    fresh = temporary / "tercet-scratch-test-new"
    fresh.mkdir()
    with scratch.scratch("test"):
        assert fresh.is_dir()


def test_what_is_told_names_no_such_folder(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scratch.scratch("guard") as folder:
        assert scratch.unplaced(f"cannot read '{folder}/a/model.tflite'") == "cannot read 'a/model.tflite'"
        assert scratch.unplaced(f"{folder}: it is full") == ": it is full"
    monkeypatch.setattr(scratch.tempfile, "tempdir", "/my temporary files")
    assert (
        scratch.unplaced("of /my temporary files/tercet-scratch-x_1/model.tflite: killed") == "of model.tflite: killed"
    )
    assert scratch.unplaced("out/models/baseline: no such file") == "out/models/baseline: no such file"
