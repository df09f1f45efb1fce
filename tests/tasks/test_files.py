"""A kill or a full disk leaves the old output or the new one; what a dead writer left is cleared away."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
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


def left(path):
    """The process whose temporary lies beside `path`, the only one there."""
    (temporary,) = path.parent.glob("*.tmp")
    return int(temporary.name.removeprefix(f".{path.name}.new.{files.HOST}.").split(".")[0])


def test_a_killed_writer_of_a_file_leaves_the_old_one_and_the_next_clears_up(project):
    path = project / "out" / "record.json"
    files.write_text(path, "old")
    pid = killed_writer(path, "file")
    assert path.read_text() == "old"
    assert left(path) == pid
    files.write_text(path, "new")
    assert path.read_text() == "new"
    assert names(path.parent) == ["record.json"]


def test_a_killed_writer_of_a_folder_leaves_the_old_one_and_the_next_clears_up(project):
    path = project / "out" / "model"
    with files.replaced_folder(path) as folder:
        (folder / "whole").write_text("old")
    pid = killed_writer(path, "folder")
    assert names(path) == ["whole"]
    assert left(path) == pid
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
        ended = killed_pid()
        theirs = [
            f".record.json.new.{files.HOST}.{living.pid}.1.tmp",
            f".record.json2.old.{files.HOST}.{ended}.1.tmp",  # another path's own, which nothing has replaced
            f".record.json2.new.{files.HOST}.{living.pid}.1.tmp",
            f".record.json.new.another-host.{ended}.1.tmp",  # on a shared disk: its numbers mean nothing here
        ]
        left = f".record.json.part.new.{files.HOST}.{ended}.1.tmp"  # of another path, and nobody's any more
        for name in (*theirs, left):
            (project / name).write_text("not ours to clear")
        files.write_text(project / "record.json", "ours")
        assert names(project) == sorted([*theirs, "record.json"])
        living.stdin.close()


def killed_pid():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    return ended.pid


def test_an_earlier_process_of_our_own_number_is_dead(project):
    """As in a container, whose processes are numbered alike each time."""
    (project / f".record.json.new.{files.HOST}.{os.getpid()}.1.tmp").write_text("half")
    with files.replaced(project / "record.json") as temporary:
        assert not list(project.glob("*.tmp"))
        temporary.write_text("ours")
        files.write_text(project / "record.json", "while the first is at work")
        assert temporary.read_text() == "ours"
    assert (project / "record.json").read_text() == "ours"


SWAPS = ["exchange", "two renames"]


@pytest.fixture(params=SWAPS)
def swap(request, monkeypatch):
    """With the kernel's exchange, and as where there is none."""
    if request.param == "two renames":
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    elif not files.sys.platform.startswith("linux"):
        pytest.skip("only Linux swaps two paths at once")
    return request.param


@pytest.mark.parametrize("before", ["nothing", "file", "folder", "link"])
@pytest.mark.parametrize("after", ["file", "folder"])
def test_anything_takes_the_place_of_anything(before, after, swap, project):
    path, aside = project / "thing", project / "aside"
    if before == "file":
        path.write_text("old")
    elif before == "folder":
        write_folder(path, "old")
    elif before == "link":
        write_folder(aside, "kept")
        path.symlink_to(aside)
    (files.write_text if after == "file" else write_folder)(path, "new")
    assert (path if after == "file" else path / "inside").read_text() == "new"
    assert not path.is_symlink()
    assert names(project) == (["aside", "thing"] if before == "link" else ["thing"])
    assert before != "link" or (aside / "inside").read_text() == "kept"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.EIO, "input/output error")])
def test_an_interrupt_between_the_two_renames_of_a_folder_leaves_the_old_one(error, project, monkeypatch):
    path, rename, renames = project / "model", Path.replace, []

    def failing(self, target):
        renames.append(target)
        if len(renames) == 3:  # a try at once, the old one aside, the new one into its place
            raise error
        return rename(self, target)

    write_folder(path, "precious")
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        write_folder(path, "new")
    assert (path / "inside").read_text() == "precious"
    assert names(project) == ["model"]


def test_a_folder_that_a_kill_left_aside_comes_back(project):
    """The two renames of a file system that cannot swap, and a kill between them; then a writer that fails."""
    path = project / "model"
    aside = project / f".model.old.{files.HOST}.{killed_pid()}.1.tmp"
    write_folder(aside, "precious")
    with pytest.raises(OSError, match="No space left"), files.replaced_folder(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (path / "inside").read_text() == "precious"
    assert names(project) == ["model"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_threads_on_one_path_each_write_it_whole(kind, swap, project):
    path, size = project / "thing", 2000
    seen = set()

    def write(letter):
        for _ in range(20):
            with files.replaced(path) as temporary:
                target = temporary
                if kind == "folder":
                    temporary.mkdir()
                    target = temporary / "inside"
                with target.open("w") as file:
                    for _ in range(size):
                        file.write(letter)
            with suppress(FileNotFoundError):  # two renames leave a moment without
                seen.add((path if kind == "file" else path / "inside").read_text())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert seen <= {letter * size for letter in "abcd"}
    assert names(project) == ["thing"]


def test_what_is_made_once_is_made_once_by_threads_and_processes(project):
    path = project / "made" / "plugin.so"
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tasks import files
def make(path):
    with open("makers", "a") as file:
        file.write("x")
    path.write_text("half")
    time.sleep(0.3)
    path.write_text("whole")
def use(_):
    return files.once(Path({str(path)!r}), make).read_text()
with ThreadPoolExecutor(4) as pool:
    assert set(pool.map(use, range(4))) == {{"whole"}}
"""
    with ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen([sys.executable, "-c", script])) for _ in range(2)]
    assert [process.returncode for process in started] == [0, 0]
    assert (project / "makers").read_text() == "x"


def test_a_failed_maker_leaves_it_to_the_next(project):
    def fail(path):
        path.write_text("half")
        raise ValueError("gcc failed")

    with pytest.raises(ValueError, match="gcc failed"):
        files.once(project / "made", fail)
    assert files.once(project / "made", lambda path: path.write_text("whole")).read_text() == "whole"


def test_all_bytes_are_on_the_disk_before_the_name_is(project, monkeypatch):
    """A power cut keeps renames that it has kept no bytes for."""
    steps, fsync, rename = [], os.fsync, Path.replace
    of = lambda descriptor: Path(f"/proc/self/fd/{descriptor}").readlink()  # noqa: E731 - its name, to compare
    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append(of(descriptor).name), fsync(descriptor)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (steps.append("rename"), rename(self, target)))
    write_folder(project / "model", "new")
    assert steps[0] == "inside"
    assert steps[1].startswith(".model.new.")
    assert steps[2:] == ["rename", project.name]


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


def test_a_full_disk_is_told_as_one_whatever_stumbled_over_it(monkeypatch):
    assert files.no_space(ValueError("model has 0 Signatures")) is None
    assert "no space left on the disk" in files.no_space(OSError(errno.ENOSPC, "No space left on device"))
    assert "no space left on the disk" in files.no_space(RuntimeError("/tmp/x; No space left on device"))
    usage = files.shutil.disk_usage(files.tempfile.gettempdir())
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _folder: usage._replace(free=100 << 10))
    assert "has 100 kB free; free some, or set TMPDIR" in files.no_space(ValueError("model has 0 Signatures"))


def test_many_files_of_one_folder_are_not_each_looked_for_among_all(project, monkeypatch):
    seen, listed = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: (seen.append(each) or each for each in listed(path)))
    for number in range(2000):
        path = project / "out" / f"{number}.json"
        with files.replaced(path) as temporary:
            temporary.touch()
    assert len(seen) < 60 * 2000, "each looked through all before it: 2,000,000"


def test_what_a_killed_writer_left_among_many_files_goes_with_a_later_write(project):
    for number in range(2 * files.FEW):
        files.write_text(project / "out" / f"{number}.json", "")
    killed_writer(project / "out" / "0.json", "file")
    left(project / "out" / "0.json")
    for number in range(2 * files.FEW):
        files.write_text(project / "out" / f"{number}.json", "new")
    assert not list((project / "out").glob("*.tmp"))
