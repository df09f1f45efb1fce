"""What commands tell of devices and of this machine, as JSON for scripts."""

import json
from importlib.metadata import version
from pathlib import Path

from tasks import paths
from tasks.bench import devices
from tasks.published import table

ROOT = Path(__file__).resolve().parents[2]


def test_what_devices_are_there_is_data(unmade, tercet):
    (unmade / "infra/devices/mine.yaml").write_text("kind: [ssh]\n")
    many = paths.device("host-cpu").read_text().replace("threads: 1", "threads: 64")
    paths.device("host-cpu-64t").write_text(many)
    code, out, _ = tercet("devices", "--json")
    found = json.loads(out)
    about = {each["name"]: each for each in found["devices"]}
    assert code == 0
    assert sorted([*about, "mine"]) == devices.names()
    assert found["wrong"][0].startswith("infra/devices/mine.yaml: kind: received")
    assert (about["host-cpu"]["measured"], about["host-cpu"]["usable"], about["host-cpu"]["reason"]) == (
        True,
        True,
        None,
    )
    assert not about["host-cpu-64t"]["usable"]
    assert about["host-cpu-64t"]["reason"].startswith("64 threads need as many CPUs; ")
    assert not about["ethos-u55-128"]["measured"]


def test_probe_support_and_published_figures_are_data(unmade, tercet):
    code, out, _ = tercet("devices", "--probe", "ethos-u55-128", "--json")
    said = f"Vela {version('ethos-u-vela')} answers for ethos-u55-128"
    assert (code, json.loads(out)) == (0, [{"name": "ethos-u55-128", "answers": True, "said": said}])
    code, out, _ = tercet("devices", "--probe", "host-cpu-nowhere", "--json")
    assert (code, out) == (2, "")
    board = table.boards()[0]
    rows = json.loads(tercet("devices", "--published", board, "--json")[1])
    assert rows == [vars(row) for row in table.of_board(board)]
    cells = json.loads(tercet("devices", "--support", "--json")[1])["cells"]
    assert {"operator", "scheme", "runtime", "outcome", "reason"} == set(cells[0])


def test_what_doctor_finds_is_what_it_prints(unmade, tercet):
    (unmade / ".dvc").mkdir()
    code, said, _ = tercet("doctor")
    again, out, _ = tercet("doctor", "--json")
    told = json.loads(out)
    assert code == again == 0
    assert [f"{each['status']:<7}  {each['what']}: {each['found']}" for each in told] == said.splitlines()
    assert {"status": "ok", "what": "device host-cpu", "found": "usable"} in told
