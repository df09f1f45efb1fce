"""DVC is not asked again where nothing has changed, and what has changed is found as if it were always asked."""

import shutil
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from flows import seen
from flows.start import dvc_bridge
from tests.trivial import ALL, PARAMS, lock, run, write_params

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie
CHANGES = {
    "an output edited": (lambda: Path("out/int8.txt").write_text("by hand"), {"evaluate@int8"}),
    "an output lost": (lambda: Path("out/model.txt").unlink(), set(ALL[1:])),
    "a file of an output lost": (lambda: Path("out/data/test").unlink(), set(ALL)),
    "an entry of the lock lost": (lambda: cut_lock("evaluate@int16"), {"evaluate@int16"}),
    "the lock of another branch": (lambda: other_lock("evaluate@int8"), {"evaluate@int8"}),
    "a parameter": (lambda: write_params(Path(), PARAMS | {"rate": 2}), set(ALL[1:])),
    "the cache collected": (lambda: shutil.rmtree(".dvc/cache/files"), set(ALL)),
    "a parameter there and back": (lambda: (write_params(Path(), {}), write_params(Path(), PARAMS)), set()),
    "an output there and back": (lambda: [Path("out/int8.txt").write_text(t) for t in ("", "train digits 1 8")], set()),
}


def cut_lock(name):
    whole = lock(Path())
    del whole["stages"][name]
    Path("dvc.lock").write_text(yaml.safe_dump(whole, sort_keys=False))


def other_lock(name):
    whole = lock(Path())
    whole["stages"][name]["outs"][0]["md5"] = "0" * 32
    Path("dvc.lock").write_text(yaml.safe_dump(whole, sort_keys=False))


@pytest.fixture
def quiet(project, calls, monkeypatch):
    """A project where DVC has found nothing to do, of a graph that is ours."""
    for module in (seen, dvc_bridge):
        monkeypatch.setattr(module, "is_ours", lambda: True)
    run()
    assert dvc_bridge.stale() == set()


@pytest.mark.usefixtures("quiet")
def test_dvc_is_not_asked_again_where_nothing_has_changed(monkeypatch):
    monkeypatch.setattr(Repo, "status", lambda _: pytest.fail("asked"))
    assert [dvc_bridge.stale() for _ in range(2)] == [set(), set()]


def test_dvc_is_not_asked_right_after_a_run_that_made_something(project, calls, monkeypatch):
    for module in (seen, dvc_bridge):
        monkeypatch.setattr(module, "is_ours", lambda: True)
    with dvc_bridge.Project() as bridge:
        for name in ALL:
            bridge.reproduce(name)
    bridge.settle()
    monkeypatch.setattr(Repo, "status", lambda _: pytest.fail("asked"))
    assert dvc_bridge.stale() == set()


@pytest.mark.usefixtures("quiet")
def test_what_was_changed_while_a_run_was_on_is_found_behind_it():
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | {"rate": 3}))
    with dvc_bridge.Project() as bridge:
        bridge.reproduce("train")
        write_params(Path(), PARAMS | {"rate": 4})
    bridge.settle()
    assert dvc_bridge.stale() == set(ALL[1:])


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("change", "found"), CHANGES.values(), ids=CHANGES)
def test_what_has_changed_since_is_found_as_if_dvc_were_always_asked(change, found):
    change()
    assert dvc_bridge.stale() == found
    seen.KNOWN.unlink(missing_ok=True)
    assert dvc_bridge.stale() == found
