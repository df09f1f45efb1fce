"""`tercet init DIR` in a terminal: what it asks, what it says to a wrong answer, and that half of it leaves nothing."""

import csv
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "import tercet; tercet.console()", "init"]
DATA = "Your data.*: $"


@pytest.fixture
def start(terminal, project):
    """Starts `tercet init` with these words, up to its first question."""

    def begin(*words):
        env = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(project), "COLUMNS": "400"}
        started = terminal([*COMMAND, *words], env=env)
        started.read(DATA)
        return started

    return begin


def rows(path, *made):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(made)
    return path


def answer(started, line, until):
    """Type an answer; what is said up to what comes next."""
    started.type(line)
    return started.read(until)


def ended(started):
    _, code = started.wait(time.monotonic())
    return code


def settings(folder):
    return yaml.safe_load((folder / "params.yaml").read_text())


def test_a_table_is_asked_for_its_column_its_network_and_its_devices(start, project):
    rows(project / "t.csv", ["x", "sold"], *[(i, "no" if i % 2 else "yes") for i in range(40)])
    (project / "net.keras").touch()
    started = start("p")
    assert f"Error: --data: {project}/none.csv: no such file" in answer(started, "~/none.csv", rf"\n{DATA}")
    assert "(nothing: none)" in answer(started, "~/t.csv", r"is a text .*: $")
    assert "of x, sold" in answer(started, "", r"is to be told.*: $")
    assert "Error: --target: received 'sole'; allowed: sold, x. did you mean 'sold'?" in answer(
        started, "sole", r"\?\nWhich column is to be told.*: $"
    )
    answer(started, "sold", r"trained already.*: $")
    assert "Error: --model: nets.keras: no such file" in answer(started, "nets.keras", r"keras file\nA network.*: $")
    assert "(nothing: host-cpu ethos-u55-128)" in answer(started, "net.keras", r"Where it shall run.*: $")
    assert "Error: --device: received 'host-cpus'; allowed: " in answer(
        started, "host-cpu, host-cpus", r"\?\nWhere it.*: $"
    )
    assert not (project / "p").exists(), "nothing is made before all is answered"
    answer(started, "host-cpu, stm32h743", r"and a Dockerfile.*: $")
    assert "received 'maybe'; yes or no expected" in answer(started, "maybe", r"expected\nA workflow.*: $")
    answer(started, "yes", r"is a Tercet project now")
    assert ended(started) == 0
    assert (project / "p" / "Dockerfile").exists()
    made = settings(project / "p")
    assert made["prepare"]["source"] == "csv"
    assert made["prepare"]["target"] == "sold"
    assert made["model"] == {"family": "file", "source": str(project / "net.keras")}
    assert made["benchmark"]["devices"] == ["host-cpu", "stm32h743"]


def test_images_and_nothing_else_is_two_devices_and_a_small_network(start, project):
    for name in ("dark", "bright"):
        (project / "shapes" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((8, 8), 9 * i, np.uint8)).save(project / "shapes" / name / f"{i}.png")
    started = start("p")
    answer(started, "shapes", r"trained already.*: $")
    answer(started, "", r"Where it shall run.*: $")
    answer(started, "", r"and a Dockerfile.*: $")
    answer(started, "", r"is a Tercet project now")
    assert ended(started) == 0
    made = settings(project / "p")
    assert (made["model"]["family"], made["benchmark"]["devices"]) == ("cnn", ["host-cpu", "ethos-u55-128"])


def test_texts_by_other_names_are_asked_for_both(start, project):
    rows(project / "r.csv", ["review", "stars"], *[(f"good {i}", i % 2) for i in range(40)])
    started = start("p")
    answer(started, "r.csv", r"is a text .*: $")
    answer(started, "review", r"is to be told.*: $")
    answer(started, "stars", r"trained already.*: $")
    assert "(nothing: host-cpu host-cpu-2t)" in answer(started, "", r"Where it shall run.*: $")
    answer(started, "", r"and a Dockerfile.*: $")
    answer(started, "", r"is a Tercet project now")
    prepared = settings(project / "p")["prepare"]
    assert [prepared[key] for key in ("source", "text", "target")] == ["sentences", "review", "stars"]


def test_without_data_a_preset_is_asked_for(start, project):
    started = start("p")
    assert "smoke" in answer(started, "", r"Which preset.*: $")
    assert "did you mean 'smoke'?" in answer(started, "smok", r"\?\nWhich preset.*: $")
    answer(started, "smoke", r"and a Dockerfile.*: $")
    answer(started, "", r"is a Tercet project now")
    assert (project / "p/params.yaml").read_text() == (ROOT / "infra/presets/smoke.yaml").read_text()


@pytest.mark.parametrize(
    ("end", "code", "said"), [("\x03", 130, "tercet: interrupted"), ("\x04", 2, "nothing is done")]
)
def test_ctrl_c_and_ctrl_d_leave_nothing_behind(end, code, said, start, project):
    (project / "p").mkdir()
    (project / "p" / "mine.txt").write_text("mine")
    started = start("p")
    answer(started, "", r"Which preset.*: $")
    os.write(started.descriptor, end.encode())
    assert ended(started) == code
    assert said in started.said
    assert "Traceback" not in started.said
    assert {path.name for path in (project / "p").iterdir()} == {"mine.txt"}


def test_a_folder_that_has_a_project_is_refused_before_anything_is_asked(terminal, project):
    (project / "p").mkdir()
    (project / "p" / "dvc.yaml").write_text("stages: {}\n")
    started = terminal([*COMMAND, "p"], env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "400"})
    started.read("wants a folder without")
    assert "Your data" not in started.said
    assert ended(started) == 1
    assert (project / "p" / "dvc.yaml").read_text() == "stages: {}\n"
