"""Variants beside a yardstick: in verdicts, in every view of the comparison, and in what is sent."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flows.views import table
from tasks import paths
from tasks.params import Params
from tasks.quality.accuracy import mcnemar
from tasks.records import Comparison, YardstickScores
from tasks.report import advice, compare, markdown, page, tables
from tasks.report.gather import gather
from tasks.track import contents

LABELS = np.arange(360) % 10
VARIANTS = ("fp32", "int8", "pruned80-clustered16-int8")


def scores(make: SimpleNamespace, name: str, wrong: range) -> YardstickScores:
    both = (make.score(range(3), "validation", n=140), make.score(wrong))
    return YardstickScores(name=name, method="trees", scores=both)


@pytest.fixture
def beside(make: SimpleNamespace) -> Comparison:
    """Variants that err 8, 9 and 25 times, beside yardsticks that err 60, 9 and 0 times."""
    yardsticks = [scores(make, *each) for each in (("poor", range(60)), ("equal", range(9)), ("good", range(0)))]
    measurements = [make.on_host(variant, "host-cpu") for variant in VARIANTS]
    subjects = [make.subject(variant) for variant in VARIANTS]
    return compare.build("digits-cnn", "fp32", subjects, measurements, LABELS, None, yardsticks)


def predicted(wrong: range) -> np.ndarray:
    return np.where(np.isin(np.arange(360), wrong), (LABELS + 1) % 10, LABELS)


def test_each_variant_is_tested_against_each_yardstick(beside: Comparison) -> None:
    row = next(row for row in beside.rows if row.variant == "pruned80-clustered16-int8")
    for each, wrong in zip(row.yardsticks, (range(60), range(9), range(0)), strict=True):
        known = mcnemar(predicted(range(2, 27)), predicted(wrong), LABELS)
        assert each.paired == known, each.name
        assert each.quality == 1 - len(wrong) / 360


def test_a_verdict_says_plainly_who_wins(beside: Comparison) -> None:
    told = {row.variant: row.verdict for row in beside.rows}
    worst, int8 = told["pruned80-clustered16-int8"], told["int8"]
    assert "beats the yardstick poor (accuracy +9.7 points, p < 0.001)" in worst
    assert "loses to the yardstick equal (accuracy −4.4 points, p < 0.001)" in worst
    assert "loses to the yardstick good (accuracy −6.9 points, p < 0.001)" in worst
    assert "cannot be told from the yardstick equal (accuracy 0.0 points, p = 1.00)" in int8
    assert "loses to the yardstick good (accuracy −2.5 points, p = 0.004)" in int8
    assert "beats the yardstick poor" in told["fp32"], "the reference is a network too"


def test_what_is_shipped_is_told_to_lose(beside: Comparison, params: Params) -> None:
    chosen = advice.advise(beside, params).devices[0]
    said = advice.words(chosen, beside)
    assert any(line.startswith("But it loses to the yardstick good") for line in said)
    assert any(line.startswith("But it loses to the yardstick equal") for line in said)
    assert not any("poor" in line for line in said)


def test_every_view_has_them(
    beside: Comparison, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    table.show(beside)
    shown = next(line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("poor"))
    assert "83.3 ±" in shown
    assert shown.rstrip().endswith("yardstick")
    assert "| poor (yardstick) | 83.3 ±" in markdown.render(beside)
    assert "<small>yardstick, trees</small>" in page.render(beside)
    rows = list(csv.DictReader(tables.pairs(beside).splitlines()))
    assert {row["yardstick_good"] for row in rows} == {"1.0"}
    assert float(rows[2]["yardstick_good_p"]) < 0.001


def test_a_comparison_without_yardsticks_says_nothing_of_them(comparison: Comparison) -> None:
    for said in (page.render(comparison), markdown.render(comparison), tables.pairs(comparison)):
        assert "yardstick" not in said


def test_mlflow_has_a_run_of_each_and_the_difference_at_each_pair(beside: Comparison) -> None:
    run = contents.of_yardstick("digits-cnn", beside.yardsticks[0], None)
    assert (run.name, [(point.key, point.value) for point in run.points]) == (
        "yardstick poor", [("accuracy", pytest.approx(300 / 360))],
    )  # fmt: skip
    tags = contents.of_row("digits-cnn", beside.rows[0], {}, None).tags
    assert tags["yardstick_poor"] == "0.833333"
    assert float(tags["yardstick_poor_p_value"]) < 0.001
    assert not beside.yardsticks[0].on("test").predictions, "a comparison has no single answers"


def test_one_that_failed_is_told_and_holds_nothing_back(study: Path, params: Params, make: SimpleNamespace) -> None:
    asked = params.model_validate(
        params.model_dump() | {"yardstick": {"there": {"method": "logistic"}, "gone": {"method": "trees"}}}
    )
    scores(make, "there", range(20)).save(paths.yardstick("there"))
    found = gather(asked)
    assert [each.name for each in found.yardsticks] == ["there"]
    assert "The yardstick gone has no score: not scored yet." in found.notes
    assert not found.failures
    assert {each.name for row in found.rows for each in row.yardsticks} == {"there"}
