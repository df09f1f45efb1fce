"""A kill or a full disk while DVC writes `dvc.lock`, whoever lets it, or its lock of paths: the next run completes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo
from hypothesis import given
from hypothesis import strategies as st

from flows import alone, repair
from flows.start import dvc_bridge
from flows.start.dvc_bridge import Project
from tasks import dvc_lock
from tasks.errors import TercetError

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie
NAMES = ["prepare", "a@one", "a@two", "zeta"]
RW_LOCK = Path(".dvc/tmp/rwlock")
DVC_YAML = """
stages:
  prepare:
    cmd: tercet stage prepare
    params: [source]
    outs: [out/prepare]
  a:
    foreach: [one, two]
    do:
      cmd: tercet stage a ${item}
      deps: [out/prepare]
      outs: ["out/a${item}", "out/a${item}.txt"]
  zeta:
    cmd: tercet stage zeta
    params: [source]
    deps: [out/aone, out/atwo]
    outs: [out/zeta]
"""
STAGES = """
import sys
from pathlib import Path

def call(*words):
    Path("out").mkdir(exist_ok=True)
    for name in ["".join(words), *(["".join(words) + ".txt"] if words[0] == "a" else [])]:
        Path("out", name).write_text(f"{name} {Path('params.yaml').read_text()}")

if __name__ == "__main__":
    call(*sys.argv[2:])
"""
# DVC's writer of YAML, or ours, which is killed, or finds the disk full, after so many bytes
BROKEN = """
import errno, os, signal, sys
from dvc.utils.serialize import _yaml

class Stream:
    def __init__(self, stream):
        self.stream, self.left = stream, int(sys.argv[1])

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def write(self, text):
        self.stream.write(text[: self.left])
        self.stream.flush()
        self.left -= len(text)
        if self.left <= 0 and sys.argv[2] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

whole = _yaml._dump
_yaml._dump = lambda data, stream: whole(data, Stream(stream) if "dvc.lock" in str(stream.name) else stream)
"""
BY_DVC = BROKEN + "from dvc.cli import main\nsys.exit(main(['repro', '--quiet']))\n"
BY_US = f"""{BROKEN}
sys.path[0] = {str(ROOT)!r}
from flows.start import dvc_bridge, dvc_yaml
written = dvc_yaml.dump
dvc_yaml.dump = lambda content, file: written(content, Stream(file))
scope = {{"__name__": "stages"}}
exec(open("bin/tercet").read(), scope)
dvc_bridge.call = scope["call"]
with dvc_bridge.Project() as project:
    for name in {NAMES}:
        project.reproduce(name)
"""
OFFSETS = [0, 1, 20, 47, 160, 333, 500, 640, 700, 790]


@pytest.fixture
def trivial(project, monkeypatch):
    """A project of four stages that DVC runs in no time, run once; the text of its dvc.lock."""
    command = project / "bin" / "tercet"
    command.parent.mkdir()
    command.write_text(f"#!{sys.executable}\n{STAGES}")
    command.chmod(0o755)
    (project / "dvc.yaml").write_text(DVC_YAML)
    (project / "params.yaml").write_text("source: digits\n")
    subprocess.run(["git", "init", "--quiet"], timeout=60, check=True)
    with Repo.init(".") as repo, repo.config.edit() as config:
        config["core"].update(analytics=False, check_update=False)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project / ".site"))
    monkeypatch.setenv("PATH", f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    scope = {"__name__": "stages"}
    exec(compile(STAGES, "stages", "exec"), scope)  # the test's own text
    monkeypatch.setattr(dvc_bridge, "call", scope["call"])
    assert run() == dict.fromkeys(NAMES, "ran")
    assert len(dvc_lock.LOCK.read_text()) > max(OFFSETS)
    return dvc_lock.LOCK.read_text()


def run():
    """What `tercet run` has DVC do."""
    dvc_bridge.stale()
    with Project() as bridge:
        return {name: bridge.reproduce(name) for name in NAMES}


def broken(script, offset, how):
    done = subprocess.run(
        [sys.executable, "-c", script, str(offset), how], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == (-signal.SIGKILL if how == "kill" else done.returncode)
    assert done.returncode != 0, done.stdout


def assert_whole(before):
    assert dvc_bridge.stale() == set()
    assert not list(Path().glob(".dvc.lock.*"))
    left, was = (yaml.safe_load(text)["stages"] for text in (dvc_lock.LOCK.read_text(), before))
    assert list(left) == list(was)
    assert all(stage["outs"][0].keys() == was[name]["outs"][0].keys() for name, stage in left.items())


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_kill_while_dvc_repro_writes_its_lock_is_made_up_for(offset, trivial):
    Path("params.yaml").write_text("source: idx\n")
    dvc_lock.keep()  # as each stage of `dvc repro` does
    broken(BY_DVC, offset, "kill")
    assert len(dvc_lock.LOCK.read_text()) == offset
    assert set(run().values()) <= {"ran", "restored"}
    assert_whole(trivial)


@pytest.mark.parametrize("written", [0.0, 0.6, 1.0], ids=["an empty folder", "half an entry", "a whole one"])
def test_a_kill_while_dvc_fills_its_run_cache_is_made_up_for(written, trivial):
    """It makes an entry's folder, writes it under another name, and renames it."""
    for entry in [path for path in Path(".dvc/cache/runs").rglob("*") if path.is_file()]:
        if written:
            text = entry.read_text()
            entry.with_name(".2Cx.tmp").write_text(text[: int(written * len(text))])
        entry.unlink()
    dvc_lock.LOCK.unlink()
    assert run() == dict.fromkeys(NAMES, "ran")
    assert_whole(trivial)
    assert not list(Path(".dvc/cache/runs").rglob("*.tmp"))


@pytest.mark.parametrize("how", ["kill", "full disk"])
def test_a_kill_or_a_full_disk_while_we_write_the_lock_leaves_the_old_one(how, trivial):
    Path("params.yaml").write_text("source: idx\n")
    broken(BY_US, 300, how)
    assert dvc_lock.LOCK.read_text() == trivial
    assert run() == dict.fromkeys(NAMES, "restored")  # the run cache has what had run
    assert_whole(trivial)


def test_it_writes_the_bytes_that_dvc_writes(trivial):
    shutil.rmtree(".dvc/cache")
    dvc_lock.LOCK.rename("ours")
    done = subprocess.run(["dvc", "repro", "--quiet"], timeout=120, check=False)  # anew, in another order
    assert done.returncode == 0
    theirs = dvc_lock.LOCK.read_text()
    assert yaml.safe_load(theirs) == yaml.safe_load(trivial)
    assert run() == dict.fromkeys(NAMES, "up to date")
    assert dvc_lock.LOCK.read_text() == theirs
    assert sorted(dvc_lock.ENTRY.split(theirs)) == sorted(dvc_lock.ENTRY.split(trivial))


def test_without_a_copy_git_has_one_and_else_it_is_made_anew(trivial, capfd, caplog):
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run([*git, "add", "dvc.lock"], timeout=60, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "lock"], timeout=60, check=True)
    for there in ("git", "nothing"):
        if there == "nothing":
            shutil.rmtree(".git")
            subprocess.run(["git", "init", "--quiet"], timeout=60, check=True)
        dvc_lock.LAST.unlink(missing_ok=True)
        dvc_lock.LOCK.write_text(trivial[:333])
        assert dvc_bridge.stale() == (set() if there == "git" else set(NAMES))
        assert dvc_lock.BROKEN.read_text() == trivial[:333]
        assert run() == dict.fromkeys(NAMES, "up to date" if there == "git" else "restored")
        assert_whole(trivial)


def test_an_older_one_of_gits_is_no_broken_one(trivial):
    older = "".join(dvc_lock.ENTRY.split(trivial)[:3])
    dvc_lock.LOCK.write_text(older)
    subprocess.run(["git", "add", "dvc.lock"], timeout=60, check=True)
    assert dvc_lock.restore() is None
    assert dvc_lock.LOCK.read_text() == older


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\nschema: '2.0'\n=======\n", "schema: '2.0'\n>>>>>>> theirs\n"])
def test_a_merge_is_the_users_to_settle(text, trivial):
    dvc_lock.LOCK.write_text(text)
    with pytest.raises(TercetError):
        dvc_bridge.stale()
    assert dvc_lock.LOCK.read_text() == text


WHOLE = """schema: '2.0'
stages:
  a@one:
    cmd: tercet stage a one
    deps:
    - path: out/prepare
      hash: md5
      md5: 7a0c94
      size: 29
    outs:
    - path: out/aone
      hash: md5
      md5: 06a5dd.dir
      size: 26
      nfiles: 3
  prepare:
    cmd: tercet stage prepare
    outs:
    - path: out/prepare
      hash: md5
      md5: 7a0c94.dir
      size: 29
      nfiles: 10
"""


@given(st.integers(0, len(WHOLE) - 1))
def test_every_beginning_is_told_from_the_whole(length):
    assert dvc_lock.cut(WHOLE[:length], WHOLE)
    assert not dvc_lock.cut(WHOLE, WHOLE)
    assert not dvc_lock.cut(WHOLE, WHOLE[:length])
    changed = WHOLE.replace("7a0c94", "5d1f00")
    assert not dvc_lock.cut(changed, WHOLE)


@pytest.mark.parametrize("text", ["", '{"write": {}, "re', "[]", '{"write": 3}', "\0" * 20])
def test_a_broken_lock_of_paths_is_taken_away(text, trivial):
    RW_LOCK.write_text(text)
    assert run() == dict.fromkeys(NAMES, "up to date")
    assert subprocess.run(["dvc", "status"], timeout=120, check=False, capture_output=True).returncode == 0


def test_what_the_dead_hold_is_let_go_and_what_the_living_hold_is_not(trivial):
    """Numbers come again: in a container another process has that of a killed one, and ours may be it."""
    with subprocess.Popen(["sleep", "60"]) as living:
        out = str(Path("out/zeta").absolute())
        holders = {"living": living.pid, "dead": 2**22 + 1, "ours, of an earlier time": os.getpid()}
        RW_LOCK.write_text(json.dumps({
            "write": {f"/{who}": {"pid": pid, "cmd": who} for who, pid in holders.items()},
            "read": {out: [{"pid": pid, "cmd": who} for who, pid in holders.items()]},
        }))  # fmt: skip
        start = Path(f"/proc/{os.getpid()}").stat().st_ctime
        os.utime(RW_LOCK, (start - 1e4, start - 1e4))
        with pytest.MonkeyPatch.context() as patch:
            created = alone.psutil.Process.create_time
            old = lambda process: start - 2e4 if process.pid == living.pid else created(process)  # noqa: E731
            patch.setattr(alone.psutil.Process, "create_time", old)
            with Repo(".") as repo:
                repair.mend(repo)
        left = json.loads(RW_LOCK.read_text())
        living.kill()
    assert list(left["write"]) == ["/living"]
    assert [info["cmd"] for info in left["read"][out]] == ["living"]
