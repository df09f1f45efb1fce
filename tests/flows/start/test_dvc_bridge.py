"""The bridge to DVC, on a project of four trivial stages whose commands would take no TensorFlow to run."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from flows.start import dvc_bridge
from flows.start.dvc_bridge import Project
from tasks.dvc_lock import ENTRY
from tasks.errors import DataError, TercetError
from tests.trivial import ALL, DVC_YAML, PARAMS, lock, make, run, write_params

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie


def test_a_stage_runs_in_this_process_once_and_is_then_up_to_date(project, calls):
    assert run() == dict.fromkeys(ALL, "ran")
    assert calls == [("prepare",), ("train",), ("evaluate", "int8"), ("evaluate", "int16")]
    assert (project / "out/int8.txt").read_text() == "train digits 1 8"
    assert run() == dict.fromkeys(ALL, "up to date")
    assert dvc_bridge.stale() == set()
    assert len(calls) == len(ALL)


def test_a_stage_that_is_to_run_again_does_so_and_its_new_outcome_is_kept(project, calls):
    run()
    first = lock(project)
    with Project() as bridge:
        assert bridge.reproduce("train", force=True) == "ran"
        assert bridge.reproduce("evaluate@int8") == "up to date", "what it made is the same"
    assert calls[len(ALL) :] == [("train",)]
    assert lock(project) == first
    assert dvc_bridge.stale() == set()


@pytest.mark.parametrize("changed", [{"source": "letters"}, {"rate": 2}], ids=["an input", "a parameter"])
def test_another_try_of_a_stage_that_failed_does_not_take_what_was_before(changed, project, calls, monkeypatch):
    """DVC has noted by then what the stage hangs from, and would find its old outputs in place."""
    run()
    write_params(project, PARAMS | changed)
    works = dvc_bridge.call

    def fails(*words):
        raise DataError("not now")

    with Project() as bridge:
        bridge.reproduce("prepare")
        monkeypatch.setattr(dvc_bridge, "call", fails)
        with pytest.raises(DataError):
            bridge.reproduce("train")
        monkeypatch.setattr(dvc_bridge, "call", works)
        assert bridge.reproduce("train") == "ran"
    values = PARAMS | changed
    assert (project / "out/model.txt").read_text() == f"train {values['source']} {values['rate']}"
    assert run(["train"]) == {"train": "up to date"}


def test_what_a_changed_parameter_reaches_runs_and_returns_without_running(project, calls):
    run()
    first = lock(project)
    write_params(project, PARAMS | {"rate": 2})
    assert run() == {"prepare": "up to date", **dict.fromkeys(ALL[1:], "ran")}
    assert (project / "out/int8.txt").read_text() == "train digits 2 8"
    write_params(project, PARAMS)
    del calls[:]
    assert run() == {"prepare": "up to date", **dict.fromkeys(ALL[1:], "restored")}
    assert calls == []
    assert (project / "out/int8.txt").read_text() == "train digits 1 8"
    assert lock(project) == first


def test_of_what_was_looked_at_anew_only_that_is_stale_whose_own_input_changed(project, calls):
    run()
    (project / "out/model.txt").write_text("as it will be")
    assert dvc_bridge.stale() == {"train", "evaluate@int8", "evaluate@int16"}
    (project / "out/data/test").write_text("that nothing reads")
    write_params(project, PARAMS | {"variants": {"int8": 8, "int16": 17}})
    found = dvc_bridge.stale()
    assert dvc_bridge.stale(("prepare", "train")) == found  # the inputs themselves are others
    write_params(project, PARAMS | {"source": "mnist"})
    shutil.rmtree(project / "out")
    run()
    write_params(project, PARAMS | {"source": "digits"})
    assert dvc_bridge.stale(("prepare",)) == {"prepare"}
    assert dvc_bridge.stale() == set(ALL)


def test_one_variant_is_one_stage(project, calls):
    run()
    write_params(project, PARAMS | {"variants": {"int8": 9, "int16": 16}})
    assert dvc_bridge.stale() == {"evaluate@int8"}
    assert run() == {**dict.fromkeys(ALL, "up to date"), "evaluate@int8": "ran"}


def test_stale_names_what_changed_and_all_that_hangs_from_it(project, calls):
    assert dvc_bridge.stale() == set(ALL)
    run()
    write_params(project, PARAMS | {"rate": 2})
    assert dvc_bridge.stale() == {"train", "evaluate@int8", "evaluate@int16"}
    write_params(project, PARAMS)
    assert dvc_bridge.stale() == set()
    (project / "out/data/train").write_text("by hand")
    assert dvc_bridge.stale() == set(ALL)


def test_an_output_that_is_lost_or_changed_by_hand_is_restored(project, calls):
    run()
    (project / "out/model.txt").unlink()
    (project / "out/int8.txt").write_text("by hand")
    del calls[:]
    assert run() == {"prepare": "up to date", "train": "restored", "evaluate@int8": "restored", ALL[3]: "up to date"}
    assert calls == []
    assert (project / "out/int8.txt").read_text() == "train digits 1 8"


def test_the_stages_are_found_by_the_words_of_their_commands(project, calls):
    assert Project().names == {
        ("prepare",): "prepare",
        ("train",): "train",
        ("evaluate", "int8"): "evaluate@int8",
        ("evaluate", "int16"): "evaluate@int16",
    }


def test_the_lock_is_the_one_that_dvc_repro_writes(project, calls, tmp_path_factory):
    run()
    other = tmp_path_factory.mktemp("command")
    make(other)
    environment = {"PATH": f"{other / 'bin'}:/usr/bin:/bin", "DVC_SITE_CACHE_DIR": str(other / ".site")}
    command = [sys.executable, "-m", "dvc", "repro"]
    done = subprocess.run(command, cwd=other, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert lock(project) == lock(other)
    assert lock(project)["stages"].keys() == set(ALL)
    texts = [ENTRY.split((folder / "dvc.lock").read_text()) for folder in (project, other)]
    assert sorted(texts[0]) == sorted(texts[1])  # byte by byte; what is done side by side has no order


def test_a_kill_before_the_lock_is_written_loses_nothing(project, calls):
    bridge = Project()
    for name in ALL:
        bridge.reproduce(name)
    assert not (project / "dvc.lock").exists()
    del calls[:]
    assert run() == dict.fromkeys(ALL, "restored")
    assert calls == []
    assert lock(project)["stages"].keys() == set(ALL)


def test_a_stage_that_fails_raises_its_own_error_and_leaves_no_trace(project, calls, monkeypatch):
    bridge = Project()
    working = dvc_bridge.call

    def failing(stage, *keys):
        if keys == ("int8",):
            (project / "out/int8.txt").write_text("half")
            raise DataError("int8: the file is torn")
        working(stage, *keys)

    monkeypatch.setattr(dvc_bridge, "call", failing)
    for name in ("prepare", "train"):
        bridge.reproduce(name)
    with pytest.raises(DataError) as caught:
        bridge.reproduce("evaluate@int8")
    assert str(caught.value) == "int8: the file is torn"
    assert bridge.reproduce("evaluate@int16") == "ran"
    with bridge:
        pass  # its end writes dvc.lock
    assert set(lock(project)["stages"]) == {"prepare", "train", "evaluate@int16"}
    assert dvc_bridge.stale() == {"evaluate@int8"}
    monkeypatch.setattr(dvc_bridge, "call", working)
    assert run(["evaluate@int8"]) == {"evaluate@int8": "ran"}
    assert (project / "out/int8.txt").read_text() == "train digits 1 8"


@pytest.mark.parametrize("told", [True, False], ids=["raised from it", "raised in its place"])
def test_what_a_stages_error_was_raised_from_is_there_once(told, project, calls, monkeypatch):
    """Whoever follows it down, as the choice of another try does, comes to its end."""

    def failing(*_words):
        try:
            next(iter(()))
        except StopIteration as error:
            raise DataError("no data") from error if told else None

    monkeypatch.setattr(dvc_bridge, "call", failing)
    with pytest.raises(DataError) as caught:
        Project().reproduce("prepare")
    met, link = [], caught.value
    while link is not None and len(met) < 10:
        met.append(type(link))
        link = link.__cause__ or link.__context__
    assert met == [DataError, StopIteration]


def test_an_error_that_is_not_ours_becomes_one_line_with_its_cause(project, calls, monkeypatch):
    bridge = Project()

    def broken(*_words):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(dvc_bridge, "call", broken)
    with pytest.raises(TercetError) as caught:
        bridge.reproduce("prepare")
    assert "\n" not in str(caught.value)
    assert "prepare" in str(caught.value)
    assert str(caught.value).endswith("division by zero")


def test_what_dvc_complains_about_is_one_line(project, calls):
    bridge = Project()
    bridge.reproduce("prepare")
    with pytest.raises(TercetError) as caught:
        bridge.reproduce("nothing")
    assert "\n" not in str(caught.value)
    assert "nothing" in str(caught.value)


def test_a_dvc_yaml_that_is_wrong_is_one_line(project, calls):
    (project / "dvc.yaml").write_text("stages: [")
    for ask in (dvc_bridge.stale, Project):
        with pytest.raises(TercetError) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert "dvc.yaml" in str(caught.value)


def test_a_folder_that_git_does_not_know_is_told_the_mend(project, calls):
    shutil.rmtree(project / ".git")
    with pytest.raises(TercetError, match=r"is not a git repository; .*`git init`"):
        dvc_bridge.stale()


def test_a_command_that_is_not_ours_runs_as_a_command(project, calls):
    stages = yaml.safe_load(DVC_YAML)
    stages["stages"]["listing"] = {"cmd": "echo by the shell > listing.txt", "outs": ["listing.txt"]}
    (project / "dvc.yaml").write_text(yaml.safe_dump(stages))
    Project().reproduce("listing")
    assert (project / "listing.txt").read_text() == "by the shell\n"
    assert calls == []


def test_a_stage_of_the_users_own_may_have_several_commands(project, calls):
    stages = yaml.safe_load(DVC_YAML)
    stages["stages"]["own"] = {"foreach": ["a"], "do": {"cmd": ["echo", "echo ${item} > own.txt"], "outs": ["own.txt"]}}
    (project / "dvc.yaml").write_text(yaml.safe_dump(stages))
    bridge = Project()
    assert set(bridge.names.values()) == set(ALL)
    assert "own@a" in dvc_bridge.stale()
    bridge.reproduce("own@a")
    assert (project / "own.txt").read_text() == "a\n"


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_graph_of_ones_own_that_contradicts_itself_is_told(asked_before, project, calls):
    if asked_before:
        run()
    stages = yaml.safe_load(DVC_YAML)
    stages["stages"]["own"] = {"cmd": "tercet stage own", "outs": ["out/model.txt"]}
    (project / "dvc.yaml").write_text(yaml.safe_dump(stages))
    with pytest.raises(TercetError, match=r"out/model.txt"):
        dvc_bridge.stale()


def test_stages_run_side_by_side_in_threads(project, calls, monkeypatch):
    bridge = Project()
    working, both = dvc_bridge.call, threading.Barrier(2, timeout=30)

    def meeting(stage, *keys):
        if stage == "evaluate":
            both.wait()  # neither ends before the other has begun
        working(stage, *keys)

    for name in ("prepare", "train"):
        bridge.reproduce(name)
    monkeypatch.setattr(dvc_bridge, "call", meeting)
    found = {}
    threads = [threading.Thread(target=lambda n=name: found.update({n: bridge.reproduce(n)})) for name in ALL[2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with bridge:
        pass  # its end writes dvc.lock
    assert found == dict.fromkeys(ALL[2:], "ran")
    assert dvc_bridge.stale() == set()


def test_a_stage_of_the_users_own_finds_the_environment_that_runs(project, calls, monkeypatch):
    """Which need not be activated."""
    (project / "dvc.yaml").write_text("stages: {own: {cmd: command -v tercet > own.txt, outs: [own.txt]}}\n")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert run(["own"]) == {"own": "ran"}
    assert (project / "own.txt").read_text() == f"{Path(sys.executable).parent / 'tercet'}\n"


@pytest.mark.parametrize("why", ["asked for", "another DVC"])
def test_where_no_function_can_be_called_commands_run_and_give_the_same(project, calls, monkeypatch, why):
    run()
    called, first = list(calls), lock(project)
    for path in ("out", ".dvc/cache", "dvc.lock"):
        remove = shutil.rmtree if (project / path).is_dir() else Path.unlink
        remove(project / path)
    monkeypatch.setattr(dvc_bridge.sysconfig, "get_path", lambda _: str(project / "bin"))
    if why == "asked for":
        monkeypatch.setenv("TERCET_IN_PROCESS", "0")
    else:
        monkeypatch.setattr(dvc_bridge, "TAKES", ["stage", "dry", "run_env", "more"])
    assert run() == dict.fromkeys(ALL, "ran")
    assert calls == called
    assert lock(project) == first
    assert run() == dict.fromkeys(ALL, "up to date")
