"""A figure that is added to the table is everywhere; one of a pair that did not run is nowhere."""

import csv
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.views import table
from tasks import paths
from tasks.params import Budget, Params
from tasks.params.search import Goal
from tasks.records import Comparison, Energy, Instructions, Latency, Memory, Row, notation
from tasks.records.figures import FIGURES, Figure, Value, known
from tasks.report import markdown, page
from tasks.ship.speed import cost
from tasks.stages.report import report
from tasks.track import contents
from tests.phases import changed


def per_s(row: Row) -> Value | None:
    """How many inferences a second: what nobody here has thought of."""
    latency = row.measurement.latency
    return Value(1000 / latency.ms_p50, source=latency.provenance) if latency else None


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Figure:
    figure = Figure("inferences_per_s", "1/s", "higher", "throughput", per_s, room="terminal")
    monkeypatch.setitem(FIGURES, figure.key, figure)
    return figure


def test_a_figure_that_is_added_is_shown_written_and_sent(
    toy: Figure, study: Path, params: Params, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report(params)
    comparison = Comparison.model_validate_json((paths.REPORT / "comparison.json").read_bytes())
    row = next(row for row in comparison.rows if (row.variant, row.device) == ("int8", "host-cpu"))
    expected = pytest.approx(1000 / 0.196)
    with (paths.REPORT / "comparison.csv").open(encoding="utf-8", newline="") as file:
        lines = {(line["variant"], line["device"]): line for line in csv.DictReader(file)}
    assert float(lines["int8", "host-cpu"][toy.key]) == expected
    assert lines["int8", "host-cpu"][f"{toy.key}_source"] == "measured"
    assert lines["fp32", "ethos-u55-128"][toy.key] == ""
    metrics = json.loads((paths.REPORT / "metrics.json").read_text())
    assert metrics["int8"]["host-cpu"][toy.key] == expected
    run = contents.of_row("w", row, {}, None)
    assert {point.key: point.value for point in run.points}[toy.key] == expected
    assert run.tags[f"{toy.key}_source"] == "measured"
    monkeypatch.setenv("COLUMNS", "160")
    table.show(comparison)
    told = (capsys.readouterr().out, page.render(comparison), markdown.render(comparison))
    for heading, text in zip(("throughput", "Throughput 1/s", "throughput 1/s"), told, strict=True):
        assert heading in text
        assert notation.number(toy, toy.of(row)) in text


def test_what_is_better_high_can_be_a_goal_and_no_budget(toy: Figure) -> None:
    assert Goal(of=toy.key, device="host-cpu", min=100).key == "inferences_per_s@host-cpu"
    with pytest.raises(ValidationError, match="a goal of inferences_per_s has min; received max"):
        Goal(of=toy.key, device="host-cpu", max=100)
    with pytest.raises(ValidationError, match="received 'inferences_per_s'; "):
        Budget(minimize=toy.key)
    for key, figure in FIGURES.items():
        assert (f"max_{key}" in Budget.model_fields) == (figure.better == "lower"), key


@pytest.mark.parametrize("status", ["unsupported", "invalid", "error"])
def test_a_pair_that_is_not_ok_has_no_figure_but_its_file(comparison: Comparison, status: str) -> None:
    whole = {
        "status": status,
        "reason": "x",
        "latency": Latency(provenance="measured", ms_p50=1.0),
        "memory": Memory(provenance="measured", peak_kib=1.0, what="all"),
        "energy": Energy(kind="counter_rapl", mj=1.0, net_mj=0.5, mj_with_input=2.0),
        "instructions": Instructions(per_inference=1, spread=0, cpu="a"),
    }
    for row in comparison.rows:
        spoilt = row.model_copy(update={"measurement": changed(row.measurement, **whole)})
        assert known(spoilt) == {}
        assert {key for key, figure in FIGURES.items() if figure.of(spoilt)} == {"bytes", "gzip_bytes"}
        assert not any(cost(spoilt, [spoilt], figure) for figure in FIGURES.values() if figure.turns is not None)


def test_the_key_is_the_one_name(study: Path, params: Params) -> None:
    report(params)
    with (paths.REPORT / "comparison.csv").open(encoding="utf-8", newline="") as file:
        columns = set(csv.DictReader(file).fieldnames or ())
    metrics = json.loads((paths.REPORT / "metrics.json").read_text())
    found = {key for devices in metrics.values() for told in devices.values() for key in told}
    assert set(FIGURES) <= columns
    assert {"quality", "latency_ms", "latency_ratio", "energy_mj", "memory_kib", "bytes"} <= found <= set(FIGURES)
    plotted = (paths.REPORT / "plot.csv").read_text().splitlines()[0].split(",")
    assert {"quality", "latency_ms"} <= set(plotted)


def test_every_figure_is_keyed_by_its_name_and_read_by_choices(comparison: Comparison) -> None:
    assert all(figure.key == key for key, figure in FIGURES.items())
    for row in comparison.rows:
        device = [other for other in comparison.rows if other.device == row.device]
        for figure in FIGURES.values():
            own, chosen = figure.of(row), cost(row, device, figure)
            assert (own is None) == (chosen is None), figure.key
