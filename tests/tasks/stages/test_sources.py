"""What comes from outside, by its content: a change is seen, and what has not changed is not read again."""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tasks import files, paths
from tasks.errors import DataError, ModelError, ParamsError
from tasks.stages import sources
from tests import least


def settings(path=None, model=None, compress=None):
    source = {"source": "idx", "path": path} if path else {"source": "digits"}
    return least.params(source, model=model or {"family": "cnn"}, compress=compress or {})


def written(params, kind):
    sources.sources(params, kind)
    return json.loads(paths.source(kind).read_text())


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_two_looks_at_once_lose_nothing_of_each_other(project, monkeypatch):
    for name in ("raw", "a.keras"):
        (project / name).write_bytes(name.encode())
    params, both = settings("raw", {"family": "file", "source": "a.keras"}), Barrier(2, timeout=30)
    sha256 = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: (both.wait(), sha256(path))[1])  # each has read what is known
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda kind: sources.sources(params, kind), sources.KINDS))
    known = json.loads(sources.KNOWN.read_text())
    assert {value[2] for value in known.values()} == {sha(b"raw"), sha(b"a.keras")}


def test_nothing_comes_from_outside(project):
    assert written(settings(), "data") == {}
    assert written(settings(), "model") == {}


def test_every_file_below_the_datas_path_is_in_it(project):
    (project / "raw/sub").mkdir(parents=True)
    (project / "raw/b").write_bytes(b"2")
    (project / "raw/sub/a").write_bytes(b"1")
    assert written(settings("raw"), "data") == {"raw/b": sha(b"2"), "raw/sub/a": sha(b"1")}
    assert written(settings("raw"), "model") == {}


def test_models_and_the_modules_of_their_layers_are_in_it(project):
    for name, content in {"a.keras": b"a", "b.h5": b"b", "c.h5": b"c", "own.py": b"pass"}.items():
        (project / name).write_bytes(content)
    (project / "large").mkdir()
    (project / "large/config.json").write_bytes(b"{}")
    (project / "saved/variables").mkdir(parents=True)
    (project / "saved/variables/data").write_bytes(b"d")
    (project / "package").mkdir()
    for name in ("__init__.py", "deep.py"):
        (project / "package" / name).write_bytes(name.encode())
    student = {"family": "file", "source": "c.h5"}
    params = settings(
        model={"family": "file", "source": "a.keras", "layers": "own"},
        compress={
            "theirs": {"method": "external", "parent": "baseline", "source": "b.h5", "layers": "package"},
            "saved": {"method": "external", "parent": "baseline", "source": "saved"},
            "small": {"method": "distill", "parent": "baseline", "teacher": "baseline", "epochs": 1, "model": student},
            "told": {
                "method": "finetune",
                "parent": "baseline",
                "epochs": 1,
                "teacher": {"family": "decoder", "source": "large"},
            },
        },
    )
    assert written(params, "model") == {
        "a.keras": sha(b"a"), "b.h5": sha(b"b"), "c.h5": sha(b"c"), "own.py": sha(b"pass"),
        "large/config.json": sha(b"{}"), "package/__init__.py": sha(b"__init__.py"), "package/deep.py": sha(b"deep.py"),
        "saved/variables/data": sha(b"d"),
    }  # fmt: skip


def test_a_file_is_read_once_until_it_changes(project, monkeypatch):
    read = []
    real = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path.name) or real(path))
    file = project / "raw" / "x"
    file.parent.mkdir()
    file.write_bytes(b"1")
    params = settings("raw")
    assert written(params, "data") == {"raw/x": sha(b"1")}
    stamp = paths.source("data").stat().st_mtime_ns
    written(params, "data")
    assert read == ["x"]
    assert paths.source("data").stat().st_mtime_ns == stamp
    file.write_bytes(b"2")
    os.utime(file, ns=(1, 1))  # of the same size, and older
    assert written(params, "data") == {"raw/x": sha(b"2")}
    assert read == ["x", "x"]


def test_another_file_of_the_same_size_and_time_is_seen(project):
    """As two versions of archives that say one time for all files: an IDX file has a size whatever it holds."""
    file, other = project / "raw", project / "other"
    for path, content in ((file, b"1"), (other, b"2")):
        path.write_bytes(content)
        os.utime(path, ns=(10**18, 10**18))
    assert written(settings("raw"), "data") == {"raw": sha(b"1")}
    other.replace(file)
    assert written(settings("raw"), "data") == {"raw": sha(b"2")}


def test_what_is_missing_is_one_line(project):
    with pytest.raises(DataError, match=r"^prepare.path: raw: no such file or folder$"):
        sources.sources(settings("raw"), "data")
    with pytest.raises(DataError, match=r"^model.source: a.keras: no such file or folder$"):
        sources.sources(settings(model={"family": "file", "source": "a.keras"}), "model")
    (project / "a.keras").touch()
    with pytest.raises(ModelError, match=r"^layers: no Python module 'absent' in "):
        sources.sources(settings(model={"family": "file", "source": "a.keras", "layers": "absent"}), "model")
    with pytest.raises(ParamsError, match=r"is named 'modell'; allowed: data, model. did you mean 'model'"):
        sources.sources(settings(), "modell")
