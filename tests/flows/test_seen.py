"""When DVC need not be asked: where nothing is other than when it last found nothing to do, and nowhere else."""

import os
import shutil
from pathlib import Path

import pytest

from flows import seen
from tasks import files

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(".dvc/cache/files/md5")
CHANGES = {
    "a setting": lambda: Path("params.yaml").write_text("name: b"),
    "an output": lambda: Path("out/benchmarks/a.json").write_text("2"),
    "an output of the same size and time": lambda: same_time(Path("out/benchmarks/a.json")),
    "an output less": lambda: Path("out/benchmarks/a.json").unlink(),
    "an output more": lambda: Path("out/benchmarks/b.json").touch(),
    "an empty folder more": lambda: Path("out/models").mkdir(),
    "the lock": lambda: Path("dvc.lock").write_text("other"),
    "the lock, in place, of the same size and time": lambda: in_place(Path("dvc.lock"), "schema: '3.0'"),
    "a setting, likewise": lambda: in_place(Path("params.yaml"), "name: b"),
    "stages of further seeds": lambda: files.write_text(Path("seeds/dvc.yaml"), "stages: {}"),
    "a name that is no text": lambda: Path(os.fsdecode(b"out/\xff")).touch(),
    "a link to itself": lambda: Path("out/self").symlink_to("self"),
    "a link to what is above": lambda: Path("out/above").symlink_to(".."),
    "what DVC ignores": lambda: Path(".dvcignore").write_text("*.json"),
    "its settings": lambda: Path(".dvc/config").write_text("[core]"),
    "its cache": lambda: (CACHE / "00" / "aa").unlink(),
    "a folder of its cache": lambda: shutil.rmtree(CACHE / "00"),
}


def in_place(path, text):
    about = path.stat()
    path.write_text(text)
    assert path.stat().st_size == about.st_size
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def same_time(path):
    about = path.stat()
    path.rename(path.with_suffix(".old"))
    path.write_text("2")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    path.with_suffix(".old").unlink()


@pytest.fixture
def state(project):
    shutil.copy(ROOT / "dvc.yaml", project)
    for name, text in {"params.yaml": "name: a", "dvc.lock": "schema: '2.0'", "out/benchmarks/a.json": "1"}.items():
        files.write_text(Path(name), text)
    files.write_text(CACHE / "00" / "aa", "object")
    os.utime(CACHE / "00", ns=(1, 1))
    return seen.state(CACHE)


def test_what_has_not_changed_is_the_same(state):
    assert state
    assert seen.state(CACHE) == state
    assert seen.known() is None
    seen.keep(state)
    assert seen.known() == state


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_seen(change, state):
    change()
    assert seen.state(CACHE) != state


def test_a_graph_of_ones_own_may_read_what_is_not_known_here(state, project):
    with (project / "dvc.yaml").open("a") as file:
        file.write("# mine\n")
    assert seen.state(CACHE) is None


def test_before_a_first_run_there_is_nothing_to_compare(state, project):
    (project / "dvc.lock").unlink()
    assert seen.state(CACHE) is None
    seen.keep(None)
    assert seen.known() is None
