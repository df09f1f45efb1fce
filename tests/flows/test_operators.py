"""The support matrix: what is said of a runtime is what it did."""

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows import operators
from flows.operators import RUNTIMES, Cell, Matrix, Outcome
from flows.support import support as show
from tasks import paths
from tasks.bench import devices
from tasks.bench.request import Artifact
from tasks.errors import DeviceError
from tasks.formats.schemes import SCHEMES
from tasks.process import Told, told
from tasks.records import ArtifactCard

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
SCHEMED = [scheme for scheme in SCHEMES if operators.converted(scheme)]


def golden(folder: Path, name: str) -> Path:
    """A golden file as the child would have made it."""
    folder.mkdir(parents=True)
    path = folder / "model.tflite"
    path.write_bytes((GOLDEN / f"{name}.tflite").read_bytes())
    np.savez(folder / "inputs.npz", image=np.random.default_rng(0).random((4, 8, 8, 1), np.float32))
    tensor = {"name": "scores", "shape": (3,), "dtype": "float32"}
    ArtifactCard(
        variant="one", model="one", scheme=name, file=path.name, sha256="0" * 64, bytes=1, gzip_bytes=1,
        inputs=(), outputs=(tensor,), operators={}, converter="golden",
    ).save(folder / "card.json")  # fmt: skip
    return folder


def cell(made: Path | str, runtime: str) -> Cell:
    return operators._cell("conv", "int8", runtime, devices.parse(ROOT / paths.device(RUNTIMES[runtime])), made)


def test_a_runtime_that_answers_as_the_reference_runs(project: Path, tmp_path: Path) -> None:
    assert cell(golden(tmp_path / "int8", "int8"), "litert").outcome == "runs"


def test_answers_that_are_off_differ(project: Path, tmp_path: Path) -> None:
    made = golden(tmp_path / "int8", "int8")
    card = ArtifactCard.model_validate_json((made / "card.json").read_bytes())
    artifact = Artifact(card, made / card.file)
    right = operators._predict(artifact, made / "inputs.npz", "reference")
    assert operators._agreement(artifact, made / "inputs.npz", right)[0] == "runs"
    assert operators._agreement(artifact, made / "inputs.npz", right + np.ptp(right) / 4)[0] == "differs"
    assert operators._agreement(artifact, made / "inputs.npz", right * np.nan)[0] == "differs"


def test_a_refusal_has_its_reason(project: Path, tmp_path: Path) -> None:
    found = cell(golden(tmp_path / "float32", "float32"), "ethos-u55")
    assert found.outcome == "refused"
    assert "Float32" in str(found.reason)


def child(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let this be the child that makes the models: `folder` and `schemes` are what it is asked for."""
    begin = "import pathlib, sys, os\nfolder, schemes = pathlib.Path(sys.argv[1]), sys.argv[3:]\n"

    def run(command: list[str], **options: Any) -> Told:
        return told([sys.executable, "-c", begin + code, *command[command.index("flows.operators") + 1 :]], **options)

    monkeypatch.setattr(operators, "told", run)


def test_what_the_converter_crashes_on_is_named_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "for scheme in schemes:\n"
        "    print('begin', scheme, flush=True)\n"
        "    (folder / scheme).mkdir()\n"
        "    if scheme == 'int8': os.abort()\n"
        "    if scheme == 'float16': (folder / scheme / 'reason').write_text('a loop')\n"
    )
    child(monkeypatch, code)
    assert operators._made(tmp_path, "gru", ["float32", "int8", "float16", "dynamic"]) == {
        "float32": tmp_path / "float32",
        "int8": "the converter crashes on it",
        "float16": "a loop",
        "dynamic": tmp_path / "dynamic",
    }


def test_a_child_that_never_begins_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "1/0")
    with pytest.raises(DeviceError, match=r"the models of gru: ZeroDivisionError"):
        operators._made(tmp_path, "gru", ["int8"])


def test_what_these_versions_have_found_is_kept_and_the_rest_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def cells(operator: str, schemes: list[str], _: object) -> list[Cell]:
        asked.extend((operator, scheme) for scheme in schemes)
        return [cell_of(operator, scheme, runtime, "refused") for scheme in schemes for runtime in RUNTIMES]

    def cell_of(operator: str, scheme: str, runtime: str, outcome: Outcome) -> Cell:
        return Cell(operator=operator, scheme=scheme, runtime=runtime, outcome=outcome)

    monkeypatch.setattr(operators, "_cells", cells)
    monkeypatch.setattr(operators, "_versions", lambda _: {"tensorflow": "2"})
    whole = [cell_of("gru", "int8", runtime, "runs") for runtime in RUNTIMES]
    part = [cell_of("gru", "dynamic", "litert", "runs"), cell_of("no longer asked", "int8", "litert", "runs")]
    known = Matrix(versions={"tensorflow": "2"}, cells=(*part, *whole))
    every = list(product(operators.operators(), SCHEMED, RUNTIMES))

    *_, found = operators.probe(known)
    assert [(cell.operator, cell.scheme, cell.runtime) for cell in found.cells] == every
    assert {(cell.operator, cell.scheme) for cell in found.cells if cell.outcome == "runs"} == {("gru", "int8")}
    assert len(asked) == len(every) // len(RUNTIMES) - 1
    asked.clear()
    assert next(operators.probe(found)) == found
    *_, same = operators.probe(found)
    assert (same, asked) == (found, [])
    *_, other = operators.probe(known.model_copy(update={"versions": {"tensorflow": "1"}}))
    assert {cell.outcome for cell in other.cells} == {"refused"}


def test_what_is_found_is_whole_behind_each_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "_cells", lambda operator, schemes, _: [
        Cell(operator=operator, scheme=schemes[0], runtime="litert", outcome="runs")
    ])  # fmt: skip
    counts = [len(matrix.cells) for matrix in operators.probe()]
    assert counts == list(range(1, len(operators.operators()) + 1))


def test_the_matrix_is_shown_with_every_reason_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show()  # what comes with Tercet, as this project has none of its own
    assert "softmax" in capsys.readouterr().out
    cells = [
        Cell(operator="conv", scheme=scheme, runtime=runtime, outcome="refused", reason="no kernel")
        if runtime == "other"
        else Cell(operator="conv", scheme=scheme, runtime=runtime, outcome="runs")
        for scheme in ("float32", "int8")
        for runtime in ("litert", "other")
    ]
    paths.SUPPORT.parent.mkdir()
    Matrix(versions={"tensorflow": "2"}, cells=tuple(cells)).save(paths.SUPPORT)
    show()
    out = capsys.readouterr().out
    assert "●●" in out
    assert "––" in out
    assert out.count("no kernel") == 1
    assert "other: no kernel (float32: conv; int8: conv)" in out


def test_the_stored_matrix_is_whole_and_of_the_versions_that_are_locked() -> None:
    matrix = Matrix.model_validate_json((ROOT / paths.SUPPORT).read_bytes())
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert [
        f"{name}=={version}" for name, version in matrix.versions.items() if f"{name}=={version}" not in locked
    ] == []
    assert {cell.outcome for cell in matrix.cells} > {"runs", "refused"}
    found = [(cell.operator, cell.scheme, cell.runtime) for cell in matrix.cells]
    assert found == list(product(operators.operators(), SCHEMED, RUNTIMES))
    assert json.loads((ROOT / paths.SUPPORT).read_text(encoding="utf-8"))["schema_version"] == 1


def test_a_reference_that_crashes_is_told(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise DeviceError("code -6")

    monkeypatch.setattr(operators, "_predict", crash)
    found = cell(golden(tmp_path / "int8", "int8"), "litert")
    assert (found.outcome, "crash" in str(found.reason)) == ("runs", True)


def test_a_reason_names_no_folder_of_the_machine_that_looked(tmp_path: Path) -> None:
    device = devices.load("host-cpu")
    said = operators._cell(
        "dense", "int8", "litert", device, "predict of /a/tercet-scratch-guard-x1/model.tflite: killed"
    )
    assert said.reason == "predict of model.tflite: killed"
    assert "/tmp" not in (ROOT / "infra" / "support.json").read_text(encoding="utf-8")
    assert "scratch" not in (ROOT / "infra" / "support.json").read_text(encoding="utf-8")
