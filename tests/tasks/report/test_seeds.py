"""Means over seeds: their arithmetic by scipy's own t, and that table, report, CSV and MLflow tell them."""

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flows import compare
from flows.views import table
from tasks import params, paths
from tasks.params import Budget, Bundle, Params
from tasks.records import Comparison, Energy, Measurement, Row, read
from tasks.records.figures import FIGURES, QUALITY
from tasks.report import markdown
from tasks.report.advice import advise, words
from tasks.report.gather import gather
from tasks.report.seeds import apart, over
from tasks.report.tables import pairs
from tasks.stages.report import report
from tasks.track import contents, entries, views
from tests.phases import changed

WRONG = {0: 9, 1: 15, 2: 12}  # wrong test examples of int8, by the seed
MS = {0: 0.196, 1: 0.2, 2: 0.198}


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_the_interval_is_that_of_students_t(values: list[float]) -> None:
    found, n = over(values), len(values)
    error = np.std(values, ddof=1) / np.sqrt(n)
    low, high = scipy.stats.t.interval(0.95, n - 1, np.mean(values), error) if error else (np.mean(values),) * 2
    assert found.n == n
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high), rel=1e-9, abs=1e-6)


def test_two_seeds_by_hand() -> None:
    """Of one degree of freedom Student's t is Cauchy's distribution: its quantile is a tangent."""
    found = over([0.9, 0.94])
    reach = np.tan(np.pi * 0.475) * 0.02
    assert (found.mean, found.low, found.high) == pytest.approx((0.92, 0.92 - reach, 0.92 + reach), rel=1e-9)


@pytest.fixture
def several(study: Path, make: SimpleNamespace) -> Params:
    """The study's fp32 and int8 on two devices, and what two further seeds have made of them."""
    settings = {
        "name": "digits-cnn",
        "seeds": list(WRONG),
        "prepare": {"source": "digits"},
        "model": {"family": "cnn"},
        "train": {"epochs": 5},
        "compress": {},
        "quantize": {
            "fp32": {"model": "baseline", "scheme": "float32"},
            "int8": {"model": "baseline", "scheme": "int8"},
        },
        "benchmark": {
            "reference": "fp32",
            "devices": ["host-cpu", "ethos-u55-128"],
            "protocol": {"mode": "quick"},
        },
        "bundle": {"default": {"max_quality_drop": 0.1}},
    }
    paths.PARAMS.write_text(yaml.safe_dump(settings))
    for seed in (1, 2):
        for variant in ("fp32", "int8"):
            again, known = f"{variant}-s{seed}", make.subject(variant)
            wrong = range(WRONG[seed]) if variant == "int8" else range(8)
            scores = [
                make.score(each, split, kernels, n)
                for kernels in ("default", "reference")
                for each, split, n in ((wrong, "test", 360), (wrong[: len(wrong) // 2], "validation", 140))
            ]
            known.artifact.model_copy(
                update={"variant": again, "model": f"baseline-s{seed}", "gzip_bytes": 272_000 + 1000 * seed}
            ).save(paths.artifact(again) / "card.json")
            known.model.model_copy(update={"model": f"baseline-s{seed}"}).save(
                paths.model(f"baseline-s{seed}") / "card.json"
            )
            known.evaluation.model_copy(update={"variant": again, "scores": tuple(scores)}).save(
                paths.evaluation(again)
            )
            host = make.on_host(variant, "host-cpu")
            ran = {"reference": None if variant == "fp32" else f"fp32-s{seed}"}
            latency = host.latency.model_copy(update={"ms_p50": MS[seed] if variant == "int8" else 0.412})
            make.measurement(
                again, "host-cpu", **ran, artifact_sha256=known.artifact.sha256, latency=latency, ratio=host.ratio,
                energy=host.energy,
            ).save(paths.benchmark(again, "host-cpu"))  # fmt: skip
            npu = make.on_npu(variant, "ethos-u55-128")
            npu.model_copy(update={"variant": again}).save(paths.benchmark(again, "ethos-u55-128"))
    return params.load()


def test_a_row_has_the_mean_of_every_figure_that_several_seeds_tell(several: Params) -> None:
    found = gather(several)
    assert [row.variant for row in found.rows if row.device == "host-cpu"] == ["fp32", "int8"]
    int8 = next(row for row in found.rows if (row.variant, row.device) == ("int8", "host-cpu"))
    for key, values in (
        (QUALITY, [1 - wrong / 360 for wrong in WRONG.values()]),
        ("latency_ms", list(MS.values())),
        ("gzip_bytes", [272_000, 273_000, 274_000]),
    ):
        low, high = scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values))
        mean = int8.over_seeds[key]
        assert (mean.mean, mean.low, mean.high, mean.n) == pytest.approx((np.mean(values), low, high, 3))
    assert int8.quality == 351 / 360, "its own file's, which is what may be shipped"
    assert {(row.variant, row.of, row.seed) for row in found.replicas if row.device == "host-cpu"} == {
        (f"{name}-s{seed}", name, seed) for name in ("fp32", "int8") for seed in (1, 2)
    }
    refused = next(row for row in found.rows if (row.variant, row.device) == ("fp32", "ethos-u55-128"))
    assert set(refused.over_seeds) == {"bytes", "gzip_bytes"}, "a file has its size wherever it runs"


@pytest.mark.parametrize("key", ["gzip_bytes", "latency_ms"])
def test_rows_are_sorted_by_the_means_that_are_shown(several: Params, key: str) -> None:
    """The seed that ships has int8 ahead; the two others have it so far behind that its mean is."""
    found = gather(several)

    def behind(row: Row) -> Row:
        if row.of != "int8" or row.measurement.ratio is None:
            return row
        slow = row.measurement.ratio.model_copy(update={"value": 9.0, "low": 8.0, "high": 10.0})
        measured = changed(row.measurement, ratio=slow)
        return row.model_copy(update={"gzip_bytes": 900_000, "measurement": measured})

    turned = found.model_copy(update={"replicas": tuple(behind(row) for row in found.replicas)})
    for comparison, order in ((found, ["int8", "fp32"]), (turned, ["fp32", "int8"])):
        rows = compare.choose(comparison, compare.Asked(devices=["host-cpu"], sort=key)).rows
        assert [row.variant for row in rows] == order


def test_what_the_first_seed_does_not_tell_is_last_as_nothing_is_shown_of_it(several: Params) -> None:
    found = gather(several)

    def lost(row: Row) -> Row:
        failed = row.measurement.model_copy(update={"status": "error", "reason": "it crashed"})
        return row.model_copy(update={"measurement": failed}) if row.variant == "int8" else row

    without = found.model_copy(update={"rows": tuple(lost(row) for row in found.rows)})
    rows = compare.choose(without, compare.Asked(devices=["host-cpu"], sort="latency_ms")).rows
    assert [row.variant for row in rows] == ["fp32", "int8"]
    assert FIGURES["latency_ms"].over_seeds(rows[1]) is None


def test_a_seed_is_compared_with_its_own_reference(several: Params) -> None:
    rows = {row.variant: row for row in gather(several).replicas if row.device == "host-cpu"}
    assert rows["int8-s1"].speed is not None
    assert rows["int8-s1"].speed.against == "fp32-s1"
    assert rows["fp32-s1"].outcome == "reference"
    assert (rows["int8-s1"].paired.worse, rows["int8-s1"].paired.better) == (7, 0), "15 wrong against 8, of the first"


def test_what_is_shipped_is_the_first_seeds_and_what_the_others_say_stands_beside_it(several: Params) -> None:
    found = gather(several)
    int8 = next(row for row in found.rows if (row.variant, row.device) == ("int8", "host-cpu"))
    wrong = [(WRONG[seed] // 2 - 4) / 140 for seed in WRONG]  # of validation, beyond the reference's 4
    low, high = scipy.stats.t.interval(0.95, 2, np.mean(wrong), scipy.stats.sem(wrong))
    drop = int8.drop_over_seeds
    assert (drop.mean, drop.low, drop.high) == pytest.approx((np.mean(wrong), low, high))
    assert next(row for row in found.rows if row.variant == "fp32").drop_over_seeds is None
    tight = several.model_copy(update={"bundle": Bundle(default=Budget(max_quality_drop=0.01))})
    (host, _) = advise(found, tight).devices
    assert host.choice.champion == "int8", "its own file, of seed 0, loses nothing"
    assert "over 3 seeds the drop of accuracy is 0.012 in the mean, beyond 0.01" in host.choice.doubts
    (sentence,) = [text for text in words(host, found) if text.startswith("Over 3 seeds")]
    reach = 100 * (high - low) / 2
    assert f"accuracy changes by −1.2 points ±{reach:.1f} (95 %) against fp32 of the same seed." in sentence


def test_a_seed_that_failed_is_told_and_the_others_count(several: Params) -> None:
    paths.evaluation("int8-s2").unlink()
    found = gather(several)
    assert [line for line in found.failures if line.startswith("int8-s2")]
    assert next(row for row in found.rows if row.variant == "int8").over_seeds[QUALITY].n == 2
    paths.evaluation("int8-s1").unlink()
    assert next(row for row in gather(several).rows if row.variant == "int8").over_seeds == {}, "one says nothing"


def test_an_estimate_keeps_its_bounds_about_the_mean(several: Params) -> None:
    row = next(row for row in gather(several).rows if row.device == "ethos-u55-128" and row.variant == "int8")
    told = FIGURES["energy_mj"].over_seeds(row)
    assert told is not None
    assert (told.value, told.low, told.high, told.bounds) == (0.52, 0.26, 1.04, "bounds")


def test_a_counter_and_cpu_time_have_no_mean_together(several: Params) -> None:
    def drawn(seed: int, kind: str, mj: float) -> None:
        variant = "int8" + (f"-s{seed}" if seed else "")
        m = read(Measurement, paths.benchmark(variant, "host-cpu"))
        changed(m, energy=Energy(kind=kind, mj=mj)).save(paths.benchmark(variant, "host-cpu"))

    for seed, (kind, mj) in enumerate((("counter_rapl", 0.3), ("estimate_cpu_time", 0.03), ("counter_rapl", 0.4))):
        drawn(seed, kind, mj)
    found = gather(several)
    row = next(row for row in found.rows if (row.variant, row.device) == ("int8", "host-cpu"))
    told = FIGURES["energy_mj"].over_seeds(row)
    assert told is not None
    assert (told.value, told.source, told.note) == (pytest.approx(0.35), "counter_rapl", "2 seeds")
    assert row.over_seeds["latency_ms"].n == 3
    (note,) = [note for note in found.notes if "energy_mj" in note]
    assert note == (
        "int8 @ host-cpu: means of energy_mj leave out 1 of 3 seeds (int8-s1), whose figures come from elsewhere "
        "(estimate cpu time) than the first's (counter rapl)."
    )
    assert note not in apart(found).notes
    assert apart(found).notes == apart(gather(several.model_copy(update={"seeds": (0,)}))).notes
    drawn(2, "estimate_cpu_time", 0.05)
    row = next(row for row in gather(several).rows if (row.variant, row.device) == ("int8", "host-cpu"))
    assert "energy_mj" not in row.over_seeds, "one of an origin has no mean, and the first's stands"
    assert FIGURES["energy_mj"].over_seeds(row).value == 0.3


def test_the_table_has_a_row_a_variant_and_each_seed_where_it_is_asked(
    several: Params, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    report(several)
    whole = read(Comparison, paths.REPORT / "comparison.json")
    table.show(whole)
    said = capsys.readouterr().out
    assert "host-cpu, means over seeds" in said
    reach = 100 * scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem([wrong / 360 for wrong in WRONG.values()])
    assert f"96.7 ±{reach:.1f}" in said
    assert "int8-s1" not in said
    compare.compare(compare.Asked(variants=["int8*"], devices=["host-cpu"], seeds=True))
    said = capsys.readouterr().out
    assert [line.split()[:2] for line in said.splitlines() if line.startswith("int8")] == [
        ["int8", "97.5"], ["int8-s1", "95.8"], ["int8-s2", "96.7"],
    ]  # fmt: skip
    assert "means over" not in said
    compare.compare(compare.Asked(variants=["int8"], form="json"))
    told = json.loads(capsys.readouterr().out)
    assert {row["variant"] for row in told["replicas"]} == {"int8-s1", "int8-s2"}
    assert told["rows"][0]["over_seeds"]["quality"]["n"] == 3


def test_the_csv_has_a_line_a_seed_and_the_means(several: Params) -> None:
    lines = list(csv.DictReader(io.StringIO(pairs(gather(several)))))
    int8 = {line["variant"]: line for line in lines if line["of"] == "int8" and line["device"] == "host-cpu"}
    assert [int8[name]["seed"] for name in ("int8", "int8-s1", "int8-s2")] == ["0", "1", "2"]
    assert float(int8["int8"]["latency_ms_over_seeds"]) == pytest.approx(0.198)
    assert (int8["int8"]["latency_ms_over_seeds_n"], int8["int8-s1"]["latency_ms_over_seeds"]) == ("3", "")


def test_the_page_has_the_means_and_the_seeds_rows(several: Params) -> None:
    report(several)
    text = (paths.REPORT / "index.html").read_text()
    assert "trained by seeds 0, 1, 2" in text
    assert text.count("What each seed has made: 12 rows") == 1
    assert "<small>int8-s2</small>" in text
    (data,) = [part for part in text.split("<script") if 'id="figures"' in part]
    row = json.loads(data.partition(">")[2].partition("</script>")[0])["rows"][1]
    assert row["figures"]["quality"][0] == pytest.approx(1 - 12 / 360, rel=1e-5)
    assert "96.7 ±" in markdown.render(gather(several))
    sent = json.loads((paths.REPORT / "metrics.json").read_text())["int8"]["host-cpu"]
    assert sent == pytest.approx({key: value[0] for key, value in row["figures"].items()}, rel=1e-5), "set against it"


def test_a_run_of_means_goes_to_mlflow(several: Params) -> None:
    report(several)
    found = {each.name: each for each in contents.collect(several) if isinstance(each, entries.Run)}
    mean = found["int8 @ host-cpu over seeds"]
    assert {"kind": "seeds", "of": "int8", "seeds": "0 1 2"}.items() <= mean.tags.items()
    assert {point.key: point.value for point in mean.points}["accuracy"] == pytest.approx(1 - 12 / 360)
    assert mean.tags["accuracy_over_seeds"].startswith("96.7 ±")
    low, high = map(float, mean.tags["accuracy_interval"].split(" to "))
    assert (low + high) / 2 == pytest.approx(1 - 12 / 360, rel=1e-5)
    assert (found["int8-s1 @ host-cpu"].tags["of"], found["int8-s1 @ host-cpu"].tags["seed"]) == ("int8", "1")
    assert found["int8 @ host-cpu"].tags["seed"] == "0"
    assert found["int8-s1 @ host-cpu"].artifact_sha256 is None, "the registry has what may be shipped"
    assert found["model baseline-s1"].tags["seed"] == "1"
    first, *others = views.views(gather(several))
    assert first.title == "over seeds"
    assert "tags.kind = 'seeds'" in json.loads(first.state)["searchFilter"]
    assert "tags.`accuracy_over_seeds`" in json.loads(first.state)["selectedColumns"]
    assert others[0].title == "the comparison"


def test_one_seed_shows_nothing_of_it(study: Path, params: Params) -> None:
    assert gather(params.model_copy(update={"seeds": (0,)})) == gather(params)
    alone = gather(params)
    assert apart(alone) == alone
    assert "over_seeds" not in pairs(alone).splitlines()[0]
    assert not any("over seeds" in each.title for each in views.views(alone))
