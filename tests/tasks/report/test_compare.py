from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.records import Comparison, Energy, Latency, Row
from tasks.report import compare
from tests.phases import changed


def row_of(comparison: Comparison, variant: str, device: str) -> Row:
    return next(row for row in comparison.rows if (row.variant, row.device) == (variant, device))


coarse = st.integers(0, 4).map(float)  # few values, so that ties are common


@given(st.lists(st.tuples(coarse, coarse), min_size=1, max_size=8))
def test_the_front_is_the_best_within_each_cost_at_the_least_cost(points: list[tuple[float, float]]) -> None:
    expected = [
        quality == max(q for q, c in points if c <= cost) and cost == min(c for q, c in points if q >= quality)
        for quality, cost in points
    ]
    assert compare.front(points) == expected


def test_fronts_never_set_an_estimate_against_a_measurement(make: SimpleNamespace) -> None:
    def timed(variant: str, provenance: str, ms: float, kind: str) -> object:
        latency = Latency(provenance=provenance, ms_p50=ms)  # type: ignore[arg-type]  # checked by pydantic
        return make.measurement(variant, "mixed", latency=latency, energy=Energy(kind=kind, mj=ms))  # type: ignore[arg-type]

    comparison = make.comparison(
        [
            timed("fp32", "measured", 2.0, "counter_rapl"),
            timed("int8", "measured", 3.0, "counter_rapl"),  # slower and worse than fp32
            timed("dynamic", "estimated", 9.0, "estimate_cpu_time"),  # the only estimate
        ]
    )
    assert ["latency_ms" in row.fronts for row in comparison.rows] == [True, False, True]
    assert ["energy_mj" in row.fronts for row in comparison.rows] == [True, False, True]


def test_fronts_are_of_validation_quality_and_paired_latency(make: SimpleNamespace) -> None:
    measured = {variant: make.on_host(variant, "host-cpu") for variant in ("fp32", "int8", "dynamic")}
    latency = measured["dynamic"].latency.model_copy(update={"ms_p50": 0.001})  # in a fast minute: its ratio is 0.70
    measured["dynamic"] = changed(measured["dynamic"], latency=latency)

    def on_front(wrong: dict[str, int]) -> set[str]:
        subjects = []
        for variant in measured:
            subject = make.subject(variant)
            scores = [s for s in subject.evaluation.scores if s.split == "test"]
            scores.append(make.score(range(wrong[variant]), "validation", n=140))
            evaluation = subject.evaluation.model_copy(update={"scores": tuple(scores)})
            subjects.append(subject.model_copy(update={"evaluation": evaluation}))
        labels = np.arange(360) % 10
        rows = compare.build("x", "fp32", subjects, measured.values(), labels, labels[:140]).rows
        assert [row.validation_paired.worse for row in rows[1:]] == [
            max(0, wrong[r.variant] - wrong["fp32"]) for r in rows[1:]
        ]
        return {row.variant for row in rows if "latency_ms" in row.fronts}

    assert on_front({"fp32": 4, "int8": 5, "dynamic": 5}) == {"fp32", "int8"}
    # on the test split fp32 is the best throughout
    assert on_front({"fp32": 6, "int8": 5, "dynamic": 3}) == {"int8", "dynamic"}


def test_the_more_variants_are_tested_the_more_must_differ(make: SimpleNamespace) -> None:
    def changes(variants: list[str]) -> dict[str, tuple[float, float | None]]:
        rows = make.comparison([make.on_host(variant, "host-cpu") for variant in variants], variants).rows
        return {row.variant: (row.paired.p_value, row.paired.p_holm) for row in rows if row.paired}

    alone = changes(["fp32", "pruned80-clustered16-int8"])["pruned80-clustered16-int8"]
    assert alone == (alone[0], alone[0])
    some = changes(["fp32", "int8", "pruned80-clustered16-int8", "dynamic"])
    assert some["pruned80-clustered16-int8"] == (alone[0], pytest.approx(3 * alone[0]))
    assert some["int8"][1] == some["dynamic"][1] == 1.0
    refused = make.on_npu("fp16", "ethos-u55-128")
    assert make.comparison([refused], ["fp32", "fp16"]).rows[0].paired.p_holm is None  # it is no variant there


def test_only_what_ran_is_on_a_front(comparison: Comparison) -> None:
    for row in comparison.rows:
        if row.measurement.status != "ok":
            assert "latency_ms" not in row.fronts
            assert "energy_mj" not in row.fronts
    latency = {(row.device, row.variant) for row in comparison.rows if "latency_ms" in row.fronts}
    assert {v for d, v in latency if d == "host-cpu"} == {"int8", "pruned80-int8", "longer-fp32"}
    assert not any("energy_mj" in row.fronts for row in comparison.rows if row.device == "host-cpu-2t")


def test_rows_keep_the_order_of_devices_and_variants(comparison: Comparison) -> None:
    assert [row.device for row in comparison.rows[::8]] == ["host-cpu", "host-cpu-2t", "ethos-u55-128", "ethos-u85-256"]
    assert len(comparison.rows) == 32


def test_the_quality_is_that_of_the_kernels_that_stand_for_the_device(make: SimpleNamespace) -> None:
    subject = make.subject("int8")
    scores = [s for s in subject.evaluation.scores if (s.split, s.kernels) != ("test", "reference")]
    imitated = make.score(range(100, 130), "test", "reference")
    evaluation = subject.evaluation.model_copy(update={"scores": (*scores, imitated)})
    subjects = [make.subject("fp32"), subject.model_copy(update={"evaluation": evaluation})]
    measurements = [make.on_host("int8", "host-cpu"), make.on_npu("int8", "ethos-u55-128")]
    host, npu = compare.build("x", "fp32", subjects, measurements, np.arange(360) % 10).rows
    assert (host.quality, npu.quality) == (1 - 9 / 360, 1 - 30 / 360)
    assert npu.paired is not None
    # fp32 is wrong on 0..7 by its default kernels, the imitated int8 on 100..129
    assert (npu.paired.better, npu.paired.worse) == (8, 30)


def test_kernels_that_were_not_evaluated_are_told(make: SimpleNamespace) -> None:
    measurement = make.on_host("dynamic", "host-cpu").model_copy(update={"kernels": "reference"})
    comparison = make.comparison([make.on_host("fp32", "host-cpu"), measurement], ["fp32", "dynamic"])
    assert "dynamic @ host-cpu" in comparison.notes[0]
    assert "default kernels" in comparison.notes[0]


def test_an_evaluation_without_a_split_is_an_error(make: SimpleNamespace) -> None:
    evaluation = make.subject("fp32").evaluation
    evaluation = evaluation.model_copy(update={"scores": evaluation.scores[:1]})
    with pytest.raises(DataError, match=r"no score on the test split.*validation/default"):
        compare.score(evaluation, "test", "reference")


def test_longer_training_is_told_with_its_control(comparison: Comparison) -> None:
    (note,) = comparison.notes
    assert "longer than fp32 (5 epochs): pruned80-int8 9, pruned80-clustered16-int8 10." in note
    assert "longer-fp32 (10 epochs, accuracy 98.6 %)" in note


def test_what_was_trained_longer_stands_beside_what_training_alone_gave(comparison: Comparison) -> None:
    rows = {row.variant: row for row in comparison.rows if row.device == "host-cpu"}
    control = rows["pruned80-clustered16-int8"].control
    assert control
    assert (control.variant, control.total_epochs) == ("longer-fp32", 10)
    assert control.quality == rows["longer-fp32"].quality
    assert control.paired
    assert (control.paired.better, control.paired.worse) == (2, 22)  # wrong: 2 to 26, and 0 to 4
    assert not any(rows[variant].control for variant in ("fp32", "int8", "longer-fp32"))  # no longer, or itself


def test_layers_left_out_of_a_scheme_are_told_with_what_it_was_for(make: SimpleNamespace) -> None:
    def notes(**card: object) -> tuple[str, ...]:
        subject = make.subject("int8")
        changed = subject.model_copy(update={"artifact": subject.artifact.model_copy(update=card)})
        return compare.build("x", "fp32", [make.subject("fp32"), changed], [], None).notes

    assert notes() == ()
    assert notes(excluded=("a", "b")) == ("int8: not at int8: a, b.",)
    (note,) = notes(excluded=("a",), allowed_drop=0.01, validation_drop=0.0125)
    assert note.endswith("It lies 0.0125 below float32 on validation data, not within the 0.01 asked for.")
    (note,) = notes(allowed_drop=0.01, validation_drop=0.005)
    assert note.startswith("int8: not at int8: no layer. It lies 0.0050 ")
    assert ", within the 0.01" in note
    (note,) = notes(allowed_drop=0.01, validation_drop=-0.0125)
    assert note.endswith("It lies 0.0125 above float32 on validation data, within the 0.01 asked for.")
    (note,) = notes(allowed_drop=0.0, validation_drop=-0.0)
    assert "It lies 0.0000 below" in note


def test_a_missing_control_is_told(make: SimpleNamespace) -> None:
    (note,) = make.comparison([], ["fp32", "pruned80-int8"]).notes
    assert "No control of equal budget" in note


def test_without_its_reference_a_comparison_still_stands(make: SimpleNamespace) -> None:
    (row,) = make.comparison([make.on_host("int8", "host-cpu")], ["int8"]).rows
    assert row.paired is None
    assert row.verdict == "2.10× faster than fp32 [2.02–2.19]."


def test_without_classes_there_is_no_paired_test(make: SimpleNamespace) -> None:
    subjects = [make.subject("fp32"), make.subject("int8")]
    (row,) = compare.build("x", "fp32", subjects, [make.on_host("int8", "host-cpu")], None).rows
    assert row.paired is None
    assert "points (no paired test)" in row.verdict


def test_the_join_reads_every_figure_of_the_reference_once(comparison: Comparison) -> None:
    reference = row_of(comparison, "fp32", "host-cpu")
    assert reference.paired is None
    assert (reference.quality, reference.quality_n, reference.bytes) == (352 / 360, 360, 1_320_000)
    assert reference.validation_quality == 136 / 140
    assert row_of(comparison, "pruned80-int8", "host-cpu").total_epochs == 9
