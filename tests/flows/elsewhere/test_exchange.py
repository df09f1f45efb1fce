"""A command that is carried to a clone of the project, with a remote between them; the clone is a folder beside it."""

import shutil
import subprocess
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from dvc.repo import Repo

from flows import alone
from flows.elsewhere import exchange
from flows.start import dvc_bridge
from flows.start.dvc_bridge import Project
from tasks.errors import ModelError, TercetError, TrackingError

STAGES = {
    "code": {"cmd": "tercet stage code", "outs": [{"out/code": {"cache": False}}]},
    "first": {"cmd": "tercet stage first", "outs": ["out/data"]},
    "second": {
        "cmd": "tercet stage second int8",
        "deps": ["out/code/second.json", "out/data"],
        "outs": ["out/made", "out/card.json"],
    },
}
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie


def work(name, *keys):
    """What the stages do: the second one's output tells what it was made of."""
    out = Path("out")
    out.mkdir(exist_ok=True)
    match name:
        case "code":
            (out / "code").mkdir()
            (out / "code" / "second.json").write_text("1")
        case "first":
            (out / "data").mkdir()
            (out / "data" / "a").write_text("a")
            (out / "data" / "b").write_text("b")
        case "second":
            (out / "made").mkdir(exist_ok=True)
            (out / "made" / "all").write_text("".join(path.read_text() for path in sorted((out / "data").iterdir())))
            (out / "card.json").write_text(
                f"{keys} {(out / 'code' / 'second.json').read_text()} {Path('params.yaml').read_text()}"
            )


@pytest.fixture
def flow(tmp_path, monkeypatch):
    """The flow's project, which somebody holds, with all done that the second stage needs; and its clone."""
    for module in (dvc_bridge, exchange):
        monkeypatch.setattr(module, "call", work)
    monkeypatch.setattr(exchange, "check_code", lambda *_words: None)
    monkeypatch.setattr(exchange, "params", SimpleNamespace(load=lambda: None))
    monkeypatch.setattr(exchange.seeds, "write", lambda _params: False)
    monkeypatch.setattr(alone, "_held", False)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}))
    (here / "params.yaml").write_text("of: the run")
    subprocess.run(["git", "init", "--quiet"], cwd=here, check=True, timeout=60)
    Repo.init(str(here)).close()
    (here / ".dvc" / "config").write_text(
        f"[core]\nremote = r\nanalytics = false\n['remote \"r\"']\nurl = {tmp_path}/remote\n"
    )
    shutil.copytree(here, there)
    (there / "params.yaml").write_text("of: an earlier run")
    with chdir(here), alone.alone("tercet run"), Project() as project:
        for name in ("code", "first"):
            project.reproduce(name)
        yield project, here, there


def carried_to(folder, *, send=True):
    def carry(stage, words):
        parcel = exchange.pack(stage, words, send=send).model_dump(mode="json")
        with chdir(folder):
            hashes = exchange.carry_out(parcel)
        exchange.unpack(stage, hashes)

    return carry


def test_what_a_clone_makes_is_what_would_have_been_made_here(flow):
    project, here, there = flow
    before = (there / "dvc.yaml").read_text()
    assert project.reproduce("second", carried_to(there)) == "ran"
    assert (here / "out" / "made" / "all").read_text() == "ab"
    assert (here / "out" / "card.json").read_text() == "('int8',) 1 of: the run"
    assert (there / "out" / "data" / "b").read_text() == "b"
    assert (there / "params.yaml").read_text() == "of: the run"
    assert not (there / "dvc.lock").exists()
    assert (there / "dvc.yaml").read_text() == before
    project.write()
    carried = yaml.safe_load((here / "dvc.lock").read_text())["stages"]["second"]
    shutil.rmtree(here / ".dvc" / "cache")  # and the same command here says the same of what it made
    shutil.rmtree(here / "out" / "made")
    fresh = Project()
    assert fresh.reproduce("second") == "ran"
    fresh.write()
    assert yaml.safe_load((here / "dvc.lock").read_text())["stages"]["second"] == carried


def test_in_the_flows_own_folder_nothing_is_traded(flow, tmp_path):
    project, here, _ = flow
    assert project.reproduce("second", carried_to(here, send=False)) == "ran"
    assert (here / "out" / "made" / "all").read_text() == "ab"
    assert not (tmp_path / "remote").exists()


def test_an_error_there_is_the_stages_own(flow, monkeypatch):
    def fail(*_words):
        raise ModelError("no weight is finite")

    monkeypatch.setattr(exchange, "call", fail)
    project, _, there = flow
    with pytest.raises(ModelError, match=r"^no weight is finite$"):
        project.reproduce("second", carried_to(there))


def test_a_clone_of_other_code_makes_nothing(flow, monkeypatch):
    def other(*_words):
        raise TercetError("tasks/models/cnn.py changed")

    monkeypatch.setattr(exchange, "check_code", other)
    project, _, there = flow
    with pytest.raises(
        TercetError, match=r"there has other code or files than the run .*: tasks/models/cnn\.py changed$"
    ):
        project.reproduce("second", carried_to(there))
    assert not (there / "out" / "made").exists()


def test_a_clone_with_another_file_of_the_users_own_makes_nothing(flow, monkeypatch):
    def other(_stage):
        raise TercetError("out/sources/model.json is of other files: models/net.h5 changed")

    monkeypatch.setattr(exchange, "check_given", other)
    project, _, there = flow
    with pytest.raises(TercetError, match=r"there has other code or files than the run .*models/net\.h5 changed$"):
        project.reproduce("second", carried_to(there))
    assert not (there / "out" / "made").exists()


def test_a_remote_that_lacks_what_is_needed_is_one_line(flow):
    project, _, there = flow
    with pytest.raises(TrackingError, match="the remote of DVC gives nothing: it lacks out/data; every machine"):
        project.reproduce("second", carried_to(there, send=False))


def test_without_a_remote_nothing_is_carried_away(flow):
    _, here, there = flow
    (here / ".dvc" / "config").write_text("[core]\nanalytics = false\n")
    with pytest.raises(TrackingError, match="the remote of DVC takes nothing: config file error: no remote specified"):
        Project().reproduce("second", carried_to(there))
    assert not (there / "out").exists()
