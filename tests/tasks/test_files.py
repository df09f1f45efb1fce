"""A kill or a full disk leaves the old output or the new one; what a dead writer left is cleared away."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import files

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import sys, time
from pathlib import Path
from tasks.files import replaced, replaced_folder
path, kind = Path(sys.argv[1]), sys.argv[2]
with (replaced if kind == "file" else replaced_folder)(path) as temporary:
    target = temporary if kind == "file" else temporary / "part"
    target.write_text("half")
    print("half written", flush=True)
    time.sleep(60)
"""


def killed_writer(path, kind):
    """A process that writes half of `path` and is killed with no chance to clean up."""
    command = [sys.executable, "-c", WRITER, str(path), kind]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout.readline() == b"half written\n"
        finally:
            writer.send_signal(signal.SIGKILL)
    assert writer.returncode == -signal.SIGKILL
    return writer.pid


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_killed_writer_of_a_file_leaves_the_old_one_and_the_next_clears_up(project):
    path = project / "out" / "record.json"
    files.write_text(path, "old")
    pid = killed_writer(path, "file")
    assert path.read_text() == "old"
    assert names(path.parent) == [f".record.json.new.{pid}.tmp", "record.json"]
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert names(path.parent) == ["record.json"]


def test_a_killed_writer_of_a_folder_leaves_the_old_one_and_the_next_clears_up(project):
    path = project / "out" / "model"
    with files.replaced_folder(path) as folder:
        (folder / "whole").write_text("old")
    pid = killed_writer(path, "folder")
    assert names(path) == ["whole"]
    assert names(path.parent) == [f".model.new.{pid}.tmp", "model"]
    with files.replaced_folder(path) as folder:
        (folder / "other").write_text("new")
    assert names(path) == ["other"]
    assert names(path.parent) == ["model"]


def test_a_killed_writer_of_something_new_leaves_nothing_under_its_name(project):
    path = project / "record.json"
    killed_writer(path, "file")
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_full_disk_leaves_the_old_output(kind, project, monkeypatch):
    def full(self, *_args, **_options):
        with self.open("wb") as file:
            file.write(b"ha")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    path = project / "thing"
    write = files.write_text if kind == "file" else write_folder
    write(path, "old")
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left on device"):
        write(path, "new")
    monkeypatch.undo()
    assert names(project) == ["thing"]
    assert (path if kind == "file" else path / "inside").read_text() == "old"


def write_folder(path, text):
    with files.replaced_folder(path) as folder:
        (folder / "inside").write_text(text)


def test_the_old_file_stands_until_the_new_one_is_whole(project):
    path = project / "record.json"
    files.write_text(path, "old")
    with files.replaced(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent  # a rename across file systems would copy
    assert path.read_text() == "new"


def test_what_a_living_process_writes_is_left_alone(project):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        theirs = project / f".record.json.new.{living.pid}.tmp"
        theirs.write_text("theirs")
        of_another_path = project / f".record.json2.new.{killed_pid()}.tmp"
        of_another_path.write_text("not ours to clear")
        files.write_text(project / "record.json", "ours")
        assert names(project) == sorted([theirs.name, of_another_path.name, "record.json"])
        living.stdin.close()


def killed_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    return ended.pid


def test_json_is_the_same_bytes_for_the_same_value_and_refuses_what_json_lacks(project):
    value = {"z": 1, "a": [0.1, "Ω", None]}
    files.write_json(project / "one.json", value)
    assert (project / "one.json").read_bytes() == '{\n "z": 1,\n "a": [\n  0.1,\n  "Ω",\n  null\n ]\n}\n'.encode()
    with pytest.raises(ValueError, match="Out of range float"):
        files.write_json(project / "one.json", {"a": float("nan")})
    assert "Ω" in (project / "one.json").read_text(encoding="utf-8")


def test_sha256_is_that_of_the_standard(project):
    (project / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(project / "abc") == expected
