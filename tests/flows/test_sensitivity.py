"""`tercet sensitivity`: the table of a card, and what is said of a variant that has none."""

import shutil
import sys
from pathlib import Path

import pytest

from flows import cli, sensitivity
from tasks import paths
from tasks.quantize import sensitivity as found
from tasks.records import ArtifactCard, Sensitivity

ROOT = Path(__file__).resolve().parents[2]
FOUND = (
    Sensitivity(layer="hidden", operators=("CONV_2D", "ADD", "ADD"), quality_drop=0.25, sqnr_db=7.04, n=400),
    Sensitivity(layer="last", operators=("FULLY_CONNECTED",), quality_drop=-0.005, sqnr_db=None, n=400),
)


@pytest.fixture
def tercet(project, monkeypatch, capsys):
    """The command in a project without outputs: the exit code, what it prints, what it says on standard error."""
    shutil.copytree(ROOT / "infra", project / "infra")
    shutil.copy(ROOT / "dvc.yaml", project)
    shutil.copy(ROOT / "params.yaml", project)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tercet", *words])
        code = cli.main()
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(autouse=True)
def heard(monkeypatch):
    """Standard error stays the test's."""
    monkeypatch.setattr("flows.start.quiet.quiet_libraries", lambda: None)


def test_the_table_of_a_card_is_shown(tercet):
    ArtifactCard(
        variant="int8", model="baseline", scheme="int8", file="f", sha256="0" * 64, bytes=1, gzip_bytes=1, inputs=(),
        outputs=(), operators={}, converter="test", sensitivity=FOUND,
    ).save(paths.artifact("int8") / "card.json")  # fmt: skip
    code, out, _ = tercet("sensitivity", "int8")
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert code == 0
    assert ["hidden", "CONV_2D,", "ADD", "−25.0", "7.0"] in lines
    assert ["last", "FULLY_CONNECTED", "+0.5", "–"] in lines
    assert "on 400 validation examples" in out


def test_a_table_is_found_where_no_card_has_one(tercet, monkeypatch):
    asked = []
    monkeypatch.setattr(found, "by_layer", lambda settings, variant: asked.append(variant) or FOUND)
    code, out, _ = tercet("sensitivity", "int8")
    assert (code, asked) == (0, ["int8"])
    assert "hidden" in out


def test_a_variant_that_there_is_not_and_one_without_layers_are_one_line(tercet):
    code, _, said = tercet("sensitivity", "int9")
    assert code == 2
    assert "did you mean 'int8'" in said
    code, _, said = tercet("sensitivity", "fp32")
    assert code == 1
    assert "scheme 'float32' quantizes no layers" in said


def test_rendering_needs_no_layers():
    assert sensitivity.render(()).row_count == 0
