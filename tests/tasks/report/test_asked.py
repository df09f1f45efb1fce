"""`tercet compare`: rows that are asked for, sorted, as data, and beside what a revision had."""

import csv
import io
import json
from types import SimpleNamespace

import pytest
from scipy.stats import binomtest

from flows import compare
from flows.compare import Asked, choose
from flows.views import changes as view
from tasks import paths
from tasks.errors import ParamsError
from tasks.params import Params
from tasks.records import Comparison, Rates
from tasks.report import advice, changes
from tests.phases import changed


@pytest.fixture
def written(project, comparison: Comparison, params: Params) -> Comparison:
    """The study's report, as the stage leaves it."""
    paths.REPORT.mkdir(parents=True)
    comparison.save(paths.REPORT / "comparison.json")
    advice.advise(comparison, params).save(paths.REPORT / "advice.json")
    return comparison


def pairs(comparison: Comparison) -> list[tuple[str, str]]:
    return [(row.device, row.variant) for row in comparison.rows]


def test_patterns_choose_rows_and_nothing_else(comparison: Comparison) -> None:
    chosen = choose(comparison, Asked(["pruned*", "int8"], ["host-cpu"]))
    assert pairs(chosen) == [("host-cpu", name) for name in ("int8", "pruned80-int8", "pruned80-clustered16-int8")]
    assert choose(comparison, Asked()) is comparison


def test_what_failed_is_told_of_the_whole_alone(comparison: Comparison) -> None:
    broken = comparison.model_copy(update={"failures": ("int4: no such scheme",)})
    assert choose(broken, Asked(sort="bytes")).failures == broken.failures
    assert choose(broken, Asked(["int8"])).failures == ()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(["int9"]), "VARIANT: received 'int9'.* did you mean 'int8'?"),
        (Asked(devices=["host-cpi"]), "--device: received 'host-cpi'.* did you mean 'host-cpu'?"),
        (Asked(sort="latency"), "--sort: received 'latency'; allowed: .*latency_ms"),
        (Asked(sort=""), "--sort: received ''; allowed: .*latency_ms"),
    ],
)
def test_what_is_not_there_is_one_line(asked: Asked, said: str, comparison: Comparison) -> None:
    with pytest.raises(ParamsError, match=said):
        choose(comparison, asked)


def test_rows_of_each_device_are_sorted_the_best_first_and_the_unknown_last(comparison: Comparison) -> None:
    chosen = choose(comparison, Asked(sort="gzip_bytes"))
    assert list(dict.fromkeys(row.device for row in chosen.rows)) == list(
        dict.fromkeys(row.device for row in comparison.rows)
    )
    for device in {row.device for row in chosen.rows}:
        sizes = [row.gzip_bytes for row in chosen.rows if row.device == device]
        assert sizes == sorted(sizes)
    by_quality = [row for row in choose(comparison, Asked(sort="quality")).rows if row.device == "host-cpu"]
    assert [row.quality for row in by_quality] == sorted((row.quality for row in by_quality), reverse=True)
    on_npu = [row for row in choose(comparison, Asked(sort="latency_ms")).rows if row.device == "ethos-u55-128"]
    ran = [row.measurement.status == "ok" for row in on_npu]
    assert ran == sorted(ran, reverse=True)
    assert len(set(ran)) == 2


def test_latencies_are_sorted_by_their_ratios_and_not_by_two_medians(make: SimpleNamespace) -> None:
    """The slower one by its own median is the quicker one by turns."""
    quick, slow = make.on_host("int8", "host-cpu"), make.on_host("dynamic", "host-cpu")
    found = [quick.latency.ms_p50, slow.latency.ms_p50]
    one = changed(quick, latency=quick.latency.model_copy(update={"ms_p50": found[1] * 2}))
    comparison = make.comparison([make.on_host("fp32", "host-cpu"), one, slow], ("fp32", "int8", "dynamic"))
    order = [row.variant for row in choose(comparison, Asked(sort="latency_ms")).rows]
    assert order.index("int8") < order.index("dynamic")


def test_data_are_the_rows_that_were_asked_for(written: Comparison, capsys) -> None:
    compare.compare(Asked(["int8"], form="json"))
    told = Comparison.model_validate_json(capsys.readouterr().out)
    assert pairs(told) == [pair for pair in pairs(written) if pair[1] == "int8"]
    compare.compare(Asked(["int8"], form="csv"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["device"], row["variant"]) for row in rows] == pairs(told)
    assert [float(row["quality"]) for row in rows if row["quality"]] == [
        row.quality for row in told.rows if row.measurement.status == "ok"
    ]


def test_a_device_alone_is_told_what_to_ship_to_it(written: Comparison, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    compare.compare(Asked(devices=["host-cpu"]))
    told = capsys.readouterr().out
    assert "host-cpu-2t" not in told
    assert "\nWhat to ship\nhost-cpu: " in told
    compare.compare(Asked(["fp16"], ["host-cpu"]))  # what to ship hangs from the rows that are not shown, too
    assert told.partition("What to ship")[2] == capsys.readouterr().out.partition("What to ship")[2]


def otherwise(comparison: Comparison, variant: str, **fields: object) -> Comparison:
    rows = [row.model_copy(update=fields) if row.variant == variant else row for row in comparison.rows]
    return comparison.model_copy(update={"rows": tuple(rows)})


def test_only_what_differs_for_sure_is_better_or_worse(comparison: Comparison) -> None:
    now = otherwise(comparison, "int8", gzip_bytes=1000, quality=0.9751, quality_low=0.95, quality_high=0.99)
    found = {(each.device, each.figure): each for each in changes.between(comparison, now)}
    assert {figure for _, figure in found} == {"gzip_bytes", "quality"}
    assert {each.word for each in found.values() if each.figure == "gzip_bytes"} == {"better"}
    assert {each.word for each in found.values() if each.figure == "quality"} == {"not told apart"}
    lost = otherwise(comparison, "int8", quality=0.5, quality_low=0.45, quality_high=0.55)
    words = {each.word for each in changes.between(comparison, lost)}
    assert words == {"worse"}
    assert list(changes.between(comparison, comparison)) == []


def test_a_pair_that_came_or_went_is_one_change(comparison: Comparison) -> None:
    fewer = comparison.model_copy(update={"rows": comparison.rows[1:]})
    first = comparison.rows[0]
    for before, now, word in ((comparison, fewer, "gone"), (fewer, comparison, "new")):
        (change,) = changes.between(before, now)
        assert (change.device, change.variant, change.word) == (first.device, first.variant, word)


def test_a_time_without_an_interval_is_never_told_to_have_changed(make: SimpleNamespace) -> None:
    then = make.on_host("fp32", "host-cpu")
    told = then.latency.model_copy(update={"ms_low": None, "ms_high": None})
    before, now = (
        make.comparison([changed(then, latency=told.model_copy(update={"ms_p50": ms}))], ("fp32",)) for ms in (1.0, 9.0)
    )
    words = {each.figure: each.word for each in changes.between(before, now)}
    assert words["latency_ms"] == "not told apart"


def test_an_estimate_that_is_fitted_to_other_figures_has_changed_where_the_ranges_do_not_meet(
    make: SimpleNamespace,
) -> None:
    then = make.on_npu("int8", "ethos-u55-128")

    def fitted(ms: float, to: str) -> Comparison:
        told = then.latency.model_copy(update={"ms_p50": ms, "ms_low": ms / 2, "ms_high": ms * 2, "fitted_to": to})
        return make.comparison([changed(then, latency=told)], ("int8",))

    for ms, to, word in ((1.1, "a", "worse"), (1.1, "b", "not told apart"), (9.0, "b", "worse"), (0.1, "b", "better")):
        words = {each.figure: each.word for each in changes.between(fitted(1.0, "a"), fitted(ms, to))}
        assert words["latency_ms"] == word


RATES = Rates(currency="EUR", per_hour=0.36, per_kwh=0.3)


def costing(make: SimpleNamespace, ms: float, mj: float, rates: Rates, device: str = "host-cpu") -> Comparison:
    """One variant that takes so much; its energy is estimated, on the processor from CPU time."""
    then = make.on_host("fp32", device) if device == "host-cpu" else make.on_npu("int8", device)
    energy = then.energy.model_copy(update={"mj": mj, "low_mj": mj / 3, "high_mj": mj * 3, "ratio": None})
    ran = changed(then, latency=then.latency.model_copy(update={"ms_p50": ms}), energy=energy)
    found = make.comparison([ran], (then.variant,))
    return found.model_copy(update={"rows": tuple(row.model_copy(update={"rates": rates}) for row in found.rows)})


def words(before: Comparison, now: Comparison) -> dict[str, str]:
    return {each.figure: each.word for each in changes.between(before, now)}


def test_a_cost_is_no_surer_than_the_time_and_the_energy_in_it(make: SimpleNamespace) -> None:
    before, now = costing(make, 1.0, 4.0, RATES), costing(make, 1.07, 4.28, RATES)
    for told in (words(before, now), words(now, before)):
        assert {told[key] for key in ("latency_ms", "energy_mj", "cost_per_million")} == {"not told apart"}
    energy = Rates(currency="EUR", per_kwh=0.3)
    assert words(costing(make, 1.0, 4.0, energy), costing(make, 1.0, 40.0, energy))["cost_per_million"] == "worse"
    on_npu = [costing(make, ms, mj, RATES, "ethos-u55-128") for ms, mj in ((1.0, 4.0), (1.07, 4.28))]
    assert words(*on_npu)["cost_per_million"] == "worse", "a compiler says the same of the same file"


@pytest.mark.parametrize("change", [{"currency": "USD"}, {"per_hour": 0.72}, {"per_kwh": None}])
def test_costs_at_other_prices_are_not_compared(make: SimpleNamespace, change: dict[str, object]) -> None:
    now = RATES.model_copy(update=change)
    for ms in (1.0, 2.0):
        told = words(costing(make, 1.0, 4.0, RATES, "ethos-u55-128"), costing(make, ms, 4.0, now, "ethos-u55-128"))
        assert told["cost_per_million"] == "other prices"


@pytest.mark.parametrize(("wrong", "n", "word"), [(1, 20, "not told apart"), (100, 1000, "worse")])
def test_a_share_of_0_is_told_from_another_where_their_intervals_do_not_meet(
    make: SimpleNamespace, wrong: int, n: int, word: str
) -> None:
    def right(k: int) -> Comparison:
        low, high = binomtest(k, n).proportion_ci(method="wilson")
        found = make.comparison([make.on_host("fp32", "host-cpu")], ("fp32",))
        share = {"quality": k / n, "quality_low": max(low, 0.0), "quality_high": high, "quality_n": n}
        return otherwise(found, "fp32", **share)

    assert words(right(wrong), right(0)) == {"quality": word}
    back = words(right(0), right(wrong))["quality"]
    assert back == {"worse": "better"}.get(word, word)


def test_changes_as_data_and_as_a_table_of_80_columns(comparison: Comparison, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    now = otherwise(comparison, "pruned80-clustered16-int8", gzip_bytes=122_000)
    found = list(changes.between(comparison, now))
    rows = json.loads(changes.as_json(found))
    assert {row["growth"] for row in rows} == {1.0}
    assert [row["now"]["value"] for row in rows] == [122_000] * len(found)
    lines = list(csv.DictReader(io.StringIO(changes.as_csv(found))))
    assert [(line["device"], float(line["before"])) for line in lines] == [(each.device, 61_000) for each in found]
    view.show("HEAD", found)
    told = capsys.readouterr().out.splitlines()
    assert max(map(len, told)) <= 80
    line = next(line for line in told if line.startswith("pruned80-clustered16-int8 "))
    assert line.split(maxsplit=1)[1].split() == ["gzip_bytes", "61.0", "kB", "122", "kB", "+100.0", "%", "worse"]
