"""The support matrix: what is said of a runtime is what it did."""

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows import operators
from flows.operators import Cell, Matrix
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
OF_TEXTS_AND_SERIES = (
    "embedding", "layer norm", "attention", "attention scores", "1-d conv", "causal 1-d conv", "lstm", "lstm, unrolled",
    "gru", "gru, unrolled", "sigmoid", "tanh", "multiply", "concatenate",
)  # fmt: skip


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
    return operators._cell(
        "conv", "int8", runtime, devices.parse(ROOT / paths.device(operators.RUNTIMES[runtime])), made
    )


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


def test_what_the_converter_crashes_on_is_named_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = (
        "import json, pathlib, sys, os\n"
        "folder, skip = pathlib.Path(sys.argv[1]), json.loads(sys.argv[3])\n"
        "for scheme in ('float32', 'int8', 'dynamic'):\n"
        "    what = 'gru/' + scheme\n"
        "    if what in skip: continue\n"
        "    print('begin', what, flush=True)\n"
        "    if scheme == 'int8': os.abort()\n"
        "    (folder / what).mkdir(parents=True, exist_ok=True)\n"
    )

    def run(command: list[str], **options: Any) -> Told:
        return told([sys.executable, "-c", child, *command[command.index("flows.operators") + 1 :]], **options)

    monkeypatch.setattr(operators, "told", run)
    made = {f"{operator}/{scheme}": where for operator, scheme, where in operators._made(tmp_path, ("gru",))}
    assert made == {
        "gru/float32": tmp_path / "gru/float32",
        "gru/dynamic": tmp_path / "gru/dynamic",
        "gru/int8": "the converter crashes on it",
    }


def test_a_child_that_never_begins_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "told", lambda _command, **options: told([sys.executable, "-c", "1/0"], **options))
    with pytest.raises(DeviceError, match="ZeroDivisionError"):
        list(operators._made(tmp_path, ()))


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
    assert "other: no kernel (conv float32, conv int8)" in out


def test_the_stored_matrix_is_of_the_versions_that_are_locked_and_has_what_texts_and_series_need() -> None:
    matrix = Matrix.model_validate_json((ROOT / paths.SUPPORT).read_bytes())
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert [
        f"{name}=={version}" for name, version in matrix.versions.items() if f"{name}=={version}" not in locked
    ] == []
    assert {cell.outcome for cell in matrix.cells} > {"runs", "refused"}
    found = [(cell.operator, cell.scheme, cell.runtime) for cell in matrix.cells]
    assert len(set(found)) == len(found)
    schemes = [scheme for scheme in SCHEMES if operators.converted(scheme)]
    assert set(found) > set(product(OF_TEXTS_AND_SERIES, schemes, operators.RUNTIMES))
    assert {operator for operator, *_ in found} < set(operators.operators())
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
