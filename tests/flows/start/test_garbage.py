import gc
import weakref

import pytest

from flows import run
from flows.start import garbage


class Ring:
    """What only the collector takes away."""

    def __init__(self):
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before():
    yield
    gc.enable()
    gc.unfreeze()


def rings():
    """One of many, so many that the collector would have come by."""
    first = weakref.ref(Ring())
    for _ in range(2 * gc.get_threshold()[0]):
        Ring()
    return first


def test_none_is_looked_for_meanwhile_and_later_among_what_is_new():
    garbage.leave()
    kept = rings()
    assert kept() is not None
    garbage.look()
    gc.collect()
    assert kept() is not None, "what imports have made stays, and costs no look"
    assert rings()() is None


def test_it_is_looked_for_again_whatever_becomes_of_the_import(monkeypatch):
    def broken():
        assert not gc.isenabled()
        raise ImportError("no TensorFlow for this machine")

    monkeypatch.setattr(run.fit, "import_tensorflow", broken)
    garbage.leave()
    with pytest.raises(ImportError):
        run._import_tensorflow()
    assert gc.isenabled()


def test_it_is_looked_for_again_where_there_is_nothing_to_run(monkeypatch, tmp_path):
    published = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run.params, "load", lambda: None)
    monkeypatch.setattr(run.given, "check", lambda settings: None)
    monkeypatch.setattr("flows.stale.look", lambda settings: set())
    monkeypatch.setattr(run, "_publish", lambda settings: published.append(gc.isenabled()))
    monkeypatch.setattr(run, "tidy", lambda settings: None)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9")
    garbage.leave()
    assert run._run(run.ALL) == 0
    assert published == [True]
