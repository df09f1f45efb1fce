import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.views import table
from tasks import paths
from tasks.errors import ConversionError, DataError, InvalidError, ModelError, TercetError, UnsupportedError
from tasks.params import Budget, Bundle, Params
from tasks.records import Comparison, Measurement, Row, YardstickScores, failures, read
from tasks.records.failures import Failure
from tasks.records.figures import FIGURES, known
from tasks.report import advice, markdown, page
from tasks.report.gather import gather
from tasks.stages import sources
from tasks.stages.report import report
from tasks.track import contents, entries

FILES = ["advice.json", "comparison.csv", "comparison.json", "index.html", "metrics.json", "plot.csv", "shipped.json"]


def row_of(comparison: Comparison, variant: str, device: str) -> Row:
    return next(row for row in comparison.rows if (row.variant, row.device) == (variant, device))


def lines_of(name: str) -> list[dict[str, str]]:
    with (paths.REPORT / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def failed(stage: str, *keys: str, reason: str) -> None:
    Failure(stage=stage, keys=keys, reason=reason).save(paths.failure(stage, *keys))


def test_the_folder_is_written_whole_and_the_same_each_time(
    study: Path, params: Params, comparison: Comparison
) -> None:
    paths.REPORT.mkdir()
    (paths.REPORT / "stale.txt").touch()
    report(params)
    assert sorted(path.name for path in paths.REPORT.iterdir()) == FILES
    assert read(Comparison, paths.REPORT / "comparison.json") == comparison
    first = {name: (paths.REPORT / name).read_bytes() for name in FILES}
    report(params)
    assert {name: (paths.REPORT / name).read_bytes() for name in FILES} == first


def test_the_csv_has_a_line_a_pair_and_empty_fields_for_the_unknown(study: Path, params: Params) -> None:
    report(params)
    lines = lines_of("comparison.csv")
    assert len(lines) == 32
    host = next(line for line in lines if (line["variant"], line["device"]) == ("int8", "host-cpu"))
    assert float(host["latency_ms"]) == 0.196
    assert float(host["quality"]) == 351 / 360
    assert (host["latency_ms_source"], host["energy_mj_source"]) == ("measured", "estimate_cpu_time")
    assert host["latency_ms_p99"] == ""
    npu = next(line for line in lines if (line["variant"], line["device"]) == ("fp32", "ethos-u55-128"))
    assert npu["status"] == "unsupported"
    assert {
        npu[name] for name in npu if name.startswith(("latency_", "ratio_", "memory_", "quality_l", "energy_"))
    } == {""}
    assert npu["energy_mj"] == ""
    assert [name for name in host if name in FIGURES] == list(FIGURES)
    assert npu["bytes"] == "1320000", "a file has its size wherever it runs"


def test_metrics_are_numbers_and_leave_out_the_unknown(study: Path, params: Params) -> None:
    report(params)
    metrics = json.loads((paths.REPORT / "metrics.json").read_text())
    assert metrics["int8"]["ethos-u55-128"] == {
        "quality": 351 / 360,
        "latency_ms": 1.84,
        "energy_mj": 0.52,
        "memory_kib": 88.2,
        "bytes": 338_000,
        "gzip_bytes": 272_000,
    }
    assert "ethos-u55-128" not in metrics["fp32"], "it does not run there"
    assert "energy_mj" not in metrics["fp32"]["host-cpu-2t"]


def test_the_plot_has_only_pairs_with_a_latency(study: Path, params: Params) -> None:
    report(params)
    lines = lines_of("plot.csv")
    assert len(lines) == 8 + 8 + 3 + 3
    assert all(float(line["latency_ms"]) > 0 for line in lines)
    assert {line["latency_ms_source"] for line in lines if line["device"] == "ethos-u85-256"} == {"estimated"}


def test_a_pair_without_a_record_is_an_error_with_its_reason(study: Path, params: Params) -> None:
    paths.benchmark("int8", "host-cpu").unlink()
    paths.benchmark("fp16", "host-cpu").unlink()
    failed("benchmark", "fp16", "host-cpu", reason="the runner was killed by signal 9")
    comparison = gather(params)
    missing, broken = (row_of(comparison, variant, "host-cpu") for variant in ("int8", "fp16"))
    assert (missing.measurement.status, missing.measurement.reason) == ("error", "not measured yet")
    assert broken.verdict == "Failed: the runner was killed by signal 9."
    assert broken.measurement.latency is None
    assert len(comparison.rows) == 32


def test_a_failure_of_another_time_does_not_hide_a_record(study: Path, params: Params) -> None:
    failed("benchmark", "fp16", "host-cpu", reason="device offline")
    assert row_of(gather(params), "fp16", "host-cpu").measurement.status == "ok"


def test_a_record_of_an_earlier_artifact_does_not_count(study: Path, params: Params) -> None:
    path = paths.benchmark("int8", "host-cpu")
    path.write_text(path.read_text().replace('"artifact_sha256": "', '"artifact_sha256": "f'))
    row = row_of(gather(params), "int8", "host-cpu")
    assert row.measurement.status == "error"
    assert "earlier artifact" in row.verdict


@pytest.mark.parametrize("lost", [paths.artifact("int8") / "card.json", paths.evaluation("int8")])
def test_a_failed_variant_is_named_and_left_out(study: Path, params: Params, lost: Path) -> None:
    lost.unlink()
    comparison = gather(params)
    assert "int8" not in {row.variant for row in comparison.rows}
    assert len(comparison.rows) == 28
    (failure,) = comparison.failures
    assert failure.startswith("int8: ")
    assert str(lost) in failure


def test_a_lost_variant_has_the_reason_of_the_first_stage_that_failed(study: Path, params: Params) -> None:
    for variant in ("int8", "fp16"):
        paths.evaluation(variant).unlink()
    failed("evaluate", "int8", reason="no such file")
    failed("quantize", "fp16", reason="an operator stays float")
    failed("benchmark", "fp16", "host-cpu", reason="no such artifact")
    assert set(gather(params).failures) == {
        "int8: evaluate int8: no such file",
        "fp16: quantize fp16: an operator stays float",
    }
    failed("prepare", reason="train.tsv:3: one tab expected")
    (failure,) = gather(params).failures
    assert failure.endswith(": prepare: train.tsv:3: one tab expected")
    assert set(failure.split(": ")[0].split(", ")) == {"fp16", "int8"}


@pytest.mark.parametrize("kind", sources.KINDS)
def test_a_source_that_cannot_be_read_is_the_first_reason(kind: str, study: Path, params: Params) -> None:
    paths.evaluation("int8").unlink()
    failed("quantize", "int8", reason="an operator stays float")
    failed("sources", kind, reason="no such file")
    assert gather(params).failures == (f"int8: sources {kind}: no such file",)


@pytest.mark.parametrize(
    ("error", "holds_back"),
    [
        (ConversionError("int16x8 has no kernel for it"), False),
        (UnsupportedError("LiteRT refuses the file"), False),
        (ModelError("the loss is not finite"), True),
        (OSError(28, "No space left on device"), True),
        (TercetError("scheme int8: no space left"), True),
    ],
)
def test_what_can_never_be_made_is_told_and_holds_no_bundle_back(
    error: Exception, holds_back: bool, study: Path, params: Params
) -> None:
    shutil.rmtree(paths.artifact("int8"))
    with pytest.raises(type(error)), failures.kept("quantize", "int8"):
        raise error
    comparison = gather(params)
    told = comparison.failures if holds_back else comparison.refused
    assert told == (f"int8: quantize int8: {failures.words(error)}",)
    assert not (comparison.refused if holds_back else comparison.failures)
    advised = advice.advise(comparison, params).devices
    assert all((each.choice is None) == holds_back for each in advised)
    assert not any(each.choice and "int8" in each.choice.candidates for each in advised)
    assert page.render(comparison, advice.advise(comparison, params)).count(told[0].replace("'", "&#39;"))


@pytest.mark.parametrize("variant", ["int8", "fp32"])
def test_answers_that_are_no_numbers_make_each_pair_of_a_variant_invalid(
    variant: str, study: Path, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    before = gather(params)
    paths.evaluation(variant).unlink()
    paths.benchmark(variant, "host-cpu").unlink()
    for path in paths.BENCHMARKS.glob(f"{variant}@*.json"):  # a machine that was too busy as well is no hope for it
        spoilt = read(Measurement, path).model_copy(update={"status": "invalid", "reason": "too busy", "passing": True})
        if read(Measurement, path).status != "unsupported":
            spoilt.save(path)
    said = "the answers to 3 of 9 test examples are no finite numbers"
    with pytest.raises(InvalidError), failures.kept("evaluate", variant):
        raise InvalidError(said)
    report(params)
    comparison = read(Comparison, paths.REPORT / "comparison.json")
    assert [(row.variant, row.device) for row in comparison.rows] == [(r.variant, r.device) for r in before.rows]
    assert comparison.failures == comparison.refused == ()
    mine = [row for row in comparison.rows if row.variant == variant]
    ran = [row for row in mine if row_of(before, variant, row.device).outcome != "unsupported"]
    assert {row.outcome for row in ran} == {row.measurement.status for row in ran} == {"invalid"}
    assert not any(row.measurement.unknown for row in mine)
    assert {row.verdict for row in ran} == {f"Invalid: {said}."}
    assert all(list(known(row)) == [] and not row.fronts for row in mine)
    lines = [line for line in lines_of("comparison.csv") if line["variant"] == variant and line["status"] == "invalid"]
    assert len(lines) == len(ran)
    assert {(line["reason"], line["quality"], line["latency_ms"]) for line in lines} == {(said, "", "")}
    assert said in (paths.REPORT / "index.html").read_text()
    assert variant not in json.loads((paths.REPORT / "metrics.json").read_text())
    runs = [entry for entry in contents.collect(params) if isinstance(entry, entries.Run)]
    sent = [run for run in runs if run.params.get("variant") == variant and run.tags["status"] == "invalid"]
    assert len(sent) == len(ran)
    assert {(run.points, run.tags["reason"]) for run in sent} == {((), said)}
    table.show(comparison)
    assert said in " ".join(capsys.readouterr().out.split())
    unlimited = params.model_copy(update={"bundle": Bundle(default=Budget())})
    for advised in advice.advise(comparison, unlimited).devices:
        assert not (advised.choice and variant in advised.choice.candidates)
        assert advice.words(advised, comparison)
    assert markdown.render(comparison).count(said)


def test_without_any_data_there_is_a_report_of_what_failed(project: Path, params: Params) -> None:
    failed("prepare", reason="data/sst2: no such file or folder")
    report(params)
    comparison = read(Comparison, paths.REPORT / "comparison.json")
    assert comparison.rows == ()
    assert comparison.failures == (f"{', '.join(params.quantize)}: prepare: data/sst2: no such file or folder",)


def test_evaluations_outlive_their_data_without_paired_tests(study: Path, params: Params) -> None:
    shutil.rmtree(paths.DATA)
    comparison = gather(params)
    assert len(comparison.rows) == 32
    assert all(row.paired is None for row in comparison.rows)
    (failure,) = comparison.failures
    assert failure.startswith("paired tests: ")


@pytest.mark.parametrize(("gone", "stage"), [("baseline", "train"), ("pruned80", "compress")])
def test_what_was_made_before_is_not_told_for_what_has_failed(
    gone: str, stage: str, study: Path, params: Params
) -> None:
    """DVC removes a stage's output before it runs; what hangs from it is left as an earlier run made it."""
    shutil.rmtree(paths.model(gone))
    with pytest.raises(UnsupportedError), failures.kept(stage, *([gone] if stage == "compress" else [])):
        raise UnsupportedError("it cannot be made")
    comparison = gather(params)

    def line(model: str) -> tuple[str, ...]:
        return model, *params.ancestors(model)

    lost = {name for name, each in params.quantize.items() if gone in line(each.model)}
    assert {"pruned80-int8", "pruned80-clustered16-int8"} <= lost
    assert {row.variant for row in comparison.rows} == {*params.quantize} - lost
    (refused,) = comparison.refused
    assert all(name in refused.partition(":")[0].split(", ") for name in lost)
    report(params)
    sent = {entry.model for entry in contents.collect(params) if isinstance(entry, entries.Run) and entry.model}
    assert sent == {name for name in (*params.baselines, *params.compress) if gone not in line(name)}


def test_data_that_could_not_be_prepared_leave_no_figure_of_earlier_ones(
    study: Path, params: Params, make: SimpleNamespace
) -> None:
    asked = params.model_validate(params.model_dump() | {"yardstick": {"plain": {"method": "logistic"}}})
    both = (make.score(range(3), "validation", n=140), make.score(range(20)))
    YardstickScores(name="plain", method="logistic", scores=both).save(paths.yardstick("plain"))
    assert len(gather(asked).yardsticks) == 1
    shutil.rmtree(paths.DATA)
    failed("prepare", reason="data/sst2: no such file or folder")
    comparison = gather(asked)
    assert comparison.rows == comparison.yardsticks == ()
    assert comparison.failures == (f"{', '.join(params.quantize)}: prepare: data/sst2: no such file or folder",)


def test_an_evaluation_of_an_earlier_artifact_does_not_count(study: Path, params: Params) -> None:
    path = paths.evaluation("int8")
    path.write_text(path.read_text().replace('"artifact_sha256": "', '"artifact_sha256": "f'))
    assert "earlier artifact" in gather(params).failures[0]


def test_files_that_params_does_not_name_are_ignored(study: Path, params: Params, comparison: Comparison) -> None:
    shutil.copy(paths.benchmark("int8", "host-cpu"), paths.benchmark("int8", "old-device"))
    paths.benchmark("gone", "host-cpu").write_text("not even JSON")
    assert gather(params) == comparison


def test_a_malformed_record_is_one_readable_error(study: Path, params: Params) -> None:
    paths.benchmark("int8", "host-cpu").write_text('{"schema_version": 7}')
    with pytest.raises(DataError, match=r"int8@host-cpu\.json: not a Measurement of schema 1"):
        report(params)
