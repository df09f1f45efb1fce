"""How far a compiler's cycles lie from published ones of the same network, beside every estimate of its family."""

import runpy
from pathlib import Path

import pytest

from tasks import paths
from tasks.errors import DataError
from tasks.published import compiled
from tasks.records import estimates

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_error_is_that_of_the_logs_cycles() -> None:
    """7,346,172 cycles by Arm's simulator of an Ethos-U55 with 128 MAC a cycle, for MobileNetV2."""
    (guess,) = compiled.guesses("ethos-u55-128")
    assert (guess.network, guess.published) == ("mobilenet_v2-1.0-224", 7_346_172)
    judged = compiled.error("ethos-u55-256")
    assert judged is not None
    assert judged.rows == 1
    assert judged.mean == judged.worst == pytest.approx(7_894_748 / 7_346_172 - 1)
    assert estimates.told(judged) == "off by 7% on the only published figure"


@pytest.mark.parametrize("accelerator", ["ethos-u85-256", "ethos-u65-256"])
def test_of_a_family_without_published_cycles_the_error_is_not_known(accelerator: str) -> None:
    assert compiled.error(accelerator) is None
    assert estimates.told(compiled.error(accelerator)) == "error not known"


def test_a_network_whose_cycles_nobody_has_published_judges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "compiled.csv"
    place.write_text(
        "network,accelerator,cycles\nresnet8,ethos-u55-128,1000\nmobilenet_v2-1.0-224,ethos-u55-32,14692344\n"
    )
    monkeypatch.setattr(paths, "COMPILED", place)
    judged = compiled.error("ethos-u55-128")
    assert judged is not None
    assert (judged.rows, judged.mean) == (1, 1.0)
    place.write_text("network\nresnet8\n")
    with pytest.raises(DataError, match=r"compiled\.csv: not a table of compilers' estimates: KeyError"):
        compiled.error("ethos-u55-128")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_compiler_says_so_still(capsys: pytest.CaptureFixture[str]) -> None:
    """The line of the table comes back from the script that makes it."""
    pytest.importorskip("tf_keras", reason="the training stack is not installed")
    runpy.run_path(str(ROOT / "benchmarks" / "vela.py"))["main"]()
    assert (ROOT / "infra/published/compiled.csv").read_text().splitlines()[1] in capsys.readouterr().out
