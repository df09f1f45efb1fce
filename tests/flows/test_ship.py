"""`tercet ship`: where bundles go, the canary first, and what the command tells."""

import json
import re
import shutil
import sys
from pathlib import Path
from threading import Event

import pytest
import yaml

from flows import cli, ship
from tasks import files, params, track
from tasks.errors import ParamsError, TrackingError
from tasks.ship import delivery, targets
from tasks.ship.targets import Target
from tasks.track.client import client
from tests.shipping import NEW, OLD, changed, folder_of, loaded, settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tercet(command, monkeypatch):
    """The command, beside a registry that only tells what it was told."""
    for name in ("promote", "reinstate"):
        monkeypatch.setattr(ship.track, name, registry(name))
    return command


@pytest.fixture
def command(project, cargoes, monkeypatch, capsys):
    """The command in this process, in a project whose bundle goes to a folder; code, output, standard error."""
    monkeypatch.setattr(delivery, "WINDOW_S", 0.002)
    shutil.copyfile(ROOT / "dvc.yaml", "dvc.yaml")
    write({"host-cpu": {"folder": "store", "keep": 1}})
    loaded(folder_of(cargoes[OLD]))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tercet", "ship", *words])
        code = cli.main()
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def registry(name):
    """What moves an alias, and tells by what it was told."""

    def moved(what, *more):
        if Path("away").exists():
            raise TrackingError("nobody answers")
        return track.Promoted(f"{name} {what} {' '.join(more)}", "7", None, "here")

    return moved


def write(ship):
    """params.yaml, with such a section `ship`."""
    Path("params.yaml").write_text(yaml.safe_dump(settings(**ship).known()))


def test_the_command_ships_tells_and_takes_back(tercet, cargoes, project):
    old = loaded(folder_of(cargoes[OLD])).id
    code, out, err = tercet("host-cpu", "--unsigned")
    assert (code, err) == (0, "")
    assert out.startswith(f"{project}/store: runs {OLD} ({old}): 8 examples agree, 0.00")
    assert re.fullmatch(r"MLflow: promote \S+/host-cpu golden is version 7, at here", out.splitlines()[1])
    assert " ms (record 1); " in out
    new = loaded(folder_of(cargoes[NEW])).id
    code, out, _ = tercet("host-cpu", "--unsigned")
    assert (code, f": runs {NEW} ({new}) instead of {old}: 8 examples agree" in out) == (0, True)
    again = tercet("host-cpu", "--unsigned")[1].splitlines()
    assert again[0] == f"{project}/store: runs {NEW} ({new}) already, and well"
    assert again[1].startswith("MLflow: promote ")  # one that was away then learns it now
    code, out, _ = tercet("--status")
    head, row = out.splitlines()
    assert (code, head.split()) == (0, ["device", "where", "version", "age", "health"])
    assert row.split()[:5] == ["host-cpu", f"{project}/store", NEW, f"({new})", row.split()[4]]
    assert row.endswith("s  well")
    Path("away").touch()
    code, out, _ = tercet("--back", "host-cpu")
    assert out.splitlines()[1].startswith("MLflow: nobody answers; its alias stays where it was")
    assert (code, out.startswith(f"{project}/store: runs {OLD} ({old}) again instead of {new}; ")) == (0, True)
    code, out, _ = tercet("--back", "host-cpu")
    assert (code, out) == (34, f"failed: {project}/store: no bundle is here that ran before; it runs {OLD} ({old})\n")
    logged = [json.loads(line) for line in (project / ship.LOG).read_text().splitlines()]
    assert [(entry["what"], entry["bundle"]) for entry in logged] == [
        ("ship", old), ("ship", new), ("ship", new), ("back", old), ("failed", None),
    ]  # fmt: skip


def test_the_registrys_alias_follows_what_has_confirmed(command, cargoes, project, database, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copyfile(database, "mlflow.db")
    store, new = project / "store", folder_of(cargoes[NEW])

    def shipped(*words, code=0):
        assert command(*words)[0] == code
        model = client(f"sqlite:///{project}/mlflow.db").get_registered_model("golden")
        return {alias: int(version) for alias, version in model.aliases.items()}

    assert shipped("host-cpu", "--unsigned") == {"champion-host-cpu": 1}
    loaded(new)
    (store / "restart").write_text("#!/bin/sh\nexit 3\n")
    (store / "restart").chmod(0o755)
    assert shipped("host-cpu", "--unsigned", code=33) == {"champion-host-cpu": 1}
    (store / "restart").unlink()
    assert shipped("host-cpu", "--unsigned") == {"champion-host-cpu": 2, "previous-host-cpu": 1}
    assert shipped("--back", "host-cpu") == {"champion-host-cpu": 1, "previous-host-cpu": 2}
    version = client(f"sqlite:///{project}/mlflow.db").get_model_version_by_alias("golden", "champion-host-cpu")
    assert version.tags["variant"] == OLD
    assert version.tags["bundle_sha256"] == files.sha256(store / "current" / "SHA256SUMS")


def test_what_is_damaged_there_is_told_and_shipped_anew(tercet, cargoes, project):
    tercet("host-cpu", "--unsigned")
    model = (project / "store" / "current" / "model.tflite").resolve()
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    code, out, _ = tercet("--status")
    assert code == 1
    assert "not as it was shipped: model.tflite" in out.splitlines()[1]
    assert tercet("host-cpu", "--unsigned")[0] == 0
    assert model.read_bytes() == whole


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["host-cpu"], 1, "tercet: fleet: no keys sign for this project yet: `tercet keys new`"),
        (
            ["host-gpu", "--unsigned"],
            2,
            "no device 'host-gpu' is measured here; allowed: host-cpu. did you mean 'host-cpu'?",
        ),
        ([], 2, "tercet: received no device; name those whose bundles are meant, such as `tercet ship host-cpu`"),
    ],
)
def test_what_cannot_be_shipped_is_one_line(tercet, project, words, code, expected):
    found, out, err = tercet(*words)
    assert (found, out) == (code, "")
    assert expected in err
    assert not (project / "store").exists()


def test_an_empty_bundle_is_not_shipped(tercet, project):
    path = Path("out/bundles/host-cpu/manifest.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"variant": None, "reason": "nobody ran"}))
    assert tercet("host-cpu", "--unsigned") == (1, "", "tercet: host-cpu: nothing to ship: nobody ran\n")


def test_nobody_says_where_it_goes(tercet):
    write({})
    code, _, err = tercet("host-cpu", "--unsigned")
    assert (code, "host-cpu: nothing says where its bundle goes: name hosts or a folder" in err) == (1, True)
    assert "nothing is shipped here" in tercet("--status")[2]


def fleet_of(folder, count):
    return [Target("host-cpu", None, str(folder / f"d{n}"), sys.executable, 1, 1.5) for n in range(count)]


@pytest.fixture
def fleet(tercet, project, monkeypatch):
    """Four machines that run a device's bundle."""
    found = fleet_of(project, 4)
    monkeypatch.setattr(targets, "of", lambda *_: found)
    return found


def test_a_canary_that_fails_keeps_the_others_as_they_are(tercet, fleet, project):
    (project / "d0").mkdir()
    (project / "d0" / "restart").write_text("#!/bin/sh\nexit 3\n")
    (project / "d0" / "restart").chmod(0o755)
    code, out, _ = tercet("host-cpu", "--unsigned")
    assert code == 33
    assert "d0/restart: " in out.splitlines()[0]
    assert out.splitlines()[0].endswith("; it runs nothing")
    assert out.splitlines()[1:] == ["3 others of the fleet were left as they are"]  # and the alias where it is
    assert not any((project / f"d{n}").exists() for n in (1, 2, 3))


def test_behind_the_canary_all_are_shipped_to_and_a_failure_is_told(tercet, fleet, project):
    (project / "d2").write_text("a file")
    code, out, _ = tercet("host-cpu", "--unsigned")
    assert code == 1
    lines = out.splitlines()
    assert lines[0].startswith(f"{project}/d0: runs {OLD} ")
    assert any(line.startswith(f"failed: {project}/d2: ") for line in lines[1:])
    told = {line.removeprefix("failed: ").partition(":")[0].rpartition("/")[2]: line for line in lines}
    assert told.keys() == {"d0", "d1", "d2", "d3"}  # each is told: it runs it, failed, or was left as it is
    for name in ("d1", "d3"):
        runs = (project / name / "current").exists()
        assert told[name].endswith("left as it is") != runs
    code, out, _ = tercet("--status")
    rows = {line.split()[1].rpartition("/")[2]: line for line in out.splitlines()[1:]}
    assert (code, rows["d0"].endswith("well"), "d2" in rows) == (1, True, True)


def test_machines_that_go_back_to_several_bundles_move_no_alias(tercet, fleet, monkeypatch):
    def returned(target, leave):
        about = {"bundle_sha256": "same" if target in fleet[:3] else "other", "variant": OLD}
        return delivery.Delivered("id", about, "before", 0.1, {})

    monkeypatch.setattr(delivery, "back", returned)
    code, out, _ = tercet("--back", "host-cpu")
    assert code == 0
    assert out.splitlines()[4:] == ["MLflow: the machines of host-cpu run 2 bundles now; its alias stays where it was"]
    fleet.pop()
    assert tercet("--back", "host-cpu")[1].splitlines()[3:] == [
        "MLflow: reinstate same host-cpu golden is version 7, at here"
    ]


def running(fleet):
    return [Path(target.folder, "current").readlink().name for target in fleet]


def test_a_run_behind_the_canary_changes_nothing_of_what_the_fleet_gets(tercet, fleet, cargoes, monkeypatch):
    """Neither what is sent to the others, nor what is noted of it, nor what the registry is given."""
    old, deliver, promoted = cargoes[OLD], delivery.ship, []

    def shipped(target, cargo, told):
        done = deliver(target, cargo, told=told)
        if target is fleet[0]:
            loaded(folder_of(cargoes[NEW]))
        return done

    def promote(folder, *_):
        promoted.append(files.sha256(folder / "SHA256SUMS"))
        return track.Promoted("it", "7", None, "here")

    monkeypatch.setattr(delivery, "ship", shipped)
    monkeypatch.setattr(ship.track, "promote", promote)
    code, out, _ = tercet("host-cpu", "--unsigned")
    assert (code, running(fleet)) == (0, [old.id] * 4)
    assert out.count(f": runs {OLD} ({old.id}): 8 examples agree") == 4
    for target in fleet:
        there = Path(target.folder, "current")
        assert json.loads((there / "manifest.json").read_text())["variant"] == OLD
        assert files.sha256(there / "SHA256SUMS") == old.about["bundle_sha256"]
    assert promoted == [old.about["bundle_sha256"]]


def test_a_bundle_that_a_run_puts_in_place_while_it_is_read_is_not_shipped(tercet, project, cargoes, monkeypatch):
    copy = shutil.copytree

    def half(source, place):
        monkeypatch.setattr(delivery.shutil, "copytree", copy)
        copy(source, place)
        shutil.copyfile(folder_of(cargoes[NEW]) / "README.txt", place / "README.txt")

    monkeypatch.setattr(delivery.shutil, "copytree", half)
    code, out, err = tercet("host-cpu", "--unsigned")
    assert (code, out, (project / "store").exists()) == (1, "", False)
    assert "host-cpu: out/bundles/host-cpu is not as SHA256SUMS says: README.txt; " in err


def third(cargoes, folder):
    """A bundle after the two that are there."""
    place = Path(shutil.copytree(folder_of(cargoes[NEW]), folder / "third"))
    return changed(place, lambda manifest: None, {"README.txt": b"the third"})


def test_after_a_rollout_that_failed_all_run_the_same_again(tercet, fleet, cargoes, tmp_path):
    """The ones that never took the new bundle go no step further, nor does one that has gone back already."""
    old, new = cargoes[OLD], cargoes[NEW]
    for cargo in (old, new):
        for target in fleet:
            delivery.ship(target, cargo)
    newest = third(cargoes, tmp_path)
    for target in fleet[:2]:
        delivery.ship(target, newest)
    code, out, _ = tercet("--back", "host-cpu")
    assert (code, running(fleet)) == (0, [new.id] * 4)
    lines = out.splitlines()
    assert sum(f"({new.id}) again instead of {newest.id}; " in line for line in lines) == 2
    left = [
        f"{each.folder}: runs {NEW} ({new.id}), which is not what is taken back: left as it is" for each in fleet[2:]
    ]
    assert set(left) < set(lines)
    assert lines[4:] == [f"MLflow: reinstate {new.about['bundle_sha256']} host-cpu golden is version 7, at here"]


def test_one_that_was_away_when_the_others_went_back_follows(tercet, fleet, cargoes):
    for name in (OLD, NEW):
        for target in fleet:
            delivery.ship(target, cargoes[name])
    away = Path(fleet[3].folder)
    away.rename("elsewhere"), away.write_text("a file")
    assert tercet("--back", "host-cpu")[0] == 1
    away.unlink(), Path("elsewhere").rename(away)
    assert tercet("--back", "host-cpu")[0] == 0
    assert running(fleet) == [cargoes[OLD].id] * 4


def test_where_each_ran_before_the_other_nothing_is_done(tercet, fleet, cargoes):
    for target, order in zip(fleet, [(OLD, NEW), (NEW, OLD)] * 2, strict=True):
        for name in order:
            delivery.ship(target, cargoes[name])
    before = running(fleet)
    code, out, err = tercet("--back", "host-cpu")
    several = ", ".join(sorted(before[:2]))
    assert (code, out, running(fleet)) == (1, "", before)
    assert (
        err == f"tercet: host-cpu: its machines run {several}, each from before another; `tercet ship` the one meant\n"
    )


def test_targets_are_the_hosts_of_the_fleet_or_a_folder_here(project, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/here/python")
    shipped = settings(**{"host-cpu": {"hosts": ["pi-1", "pi-2", "pi-1"], "python": "/opt/py", "keep": 5}})
    assert targets.of(shipped, "host-cpu") == [
        Target("host-cpu", host, "tercet/golden-host-cpu", "/opt/py", 5, 1.5) for host in ("pi-1", "pi-2")
    ]
    here = settings(**{"host-cpu": {"folder": "there", "tolerance": 2}})
    assert targets.of(here, "host-cpu") == [Target("host-cpu", None, f"{project}/there", "/here/python", 2, 2.0)]
    command = targets.of(shipped, "host-cpu")[0].command("print(1)")
    assert command[0] == "ssh"
    assert {"BatchMode=yes", "StrictHostKeyChecking=yes"} <= set(command)
    assert command[-2:] == ["pi-1", """exec sh -c 'exec /opt/py -I -c '"'"'print(1)'"'"''"""]


def test_two_devices_do_not_share_a_folder(project):
    places = {"host-cpu": {"folder": "there/."}, "host-cpu-2t": {"folder": "there"}}
    given = settings().known() | {"ship": places}
    given["benchmark"]["devices"] = list(places)
    shared = params.Params.model_validate(given)
    with pytest.raises(ParamsError, match=r"^host-cpu: .*/there is host-cpu-2t's as well; name another folder in par"):
        targets.of(shared, "host-cpu")
    given["ship"]["host-cpu"]["hosts"] = ["pi-1"]
    assert targets.of(params.Params.model_validate(given), "host-cpu")[0].folder == "there/."


def test_after_a_fault_of_ours_no_more_machines_are_begun(monkeypatch, project):
    monkeypatch.setattr(ship, "AT_ONCE", 2)
    fleet, begun, third = fleet_of(project, 4), [], Event()

    def step(target):
        begun.append(target)
        if len(begun) == 3:
            third.set()
        if target is not fleet[0]:
            raise RuntimeError
        third.wait(0.2)
        return "well"

    with pytest.raises(RuntimeError):
        ship._each(fleet, step)
    assert begun == fleet[:2]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"host-cpu": {"hosts": ["-oProxyCommand=x"]}}, "ship.host-cpu.hosts.0: received '-oProxyCommand=x'"),
        ({"host-cpu": {"tolerance": 0.5}}, "ship.host-cpu.tolerance: received 0.5"),
        ({"host-gpu": {"folder": "x"}}, "ship: received 'host-gpu'; allowed: host-cpu. did you mean 'host-cpu'?"),
    ],
)
def test_a_wrong_section_is_one_line(project, section, line):
    given = settings().known() | {"ship": section}
    Path("params.yaml").write_text(yaml.safe_dump(given))
    with pytest.raises(ParamsError, match=r"^params.yaml: ") as raised:
        params.load()
    assert line in str(raised.value)
