from types import SimpleNamespace

import pytest

from tasks.records import Comparison, Energy, Instructions, Latency, Measurement, Operator, Ratio, Speed
from tasks.records.figures import FIGURES
from tasks.report import causes, page, verdict
from tasks.ship import speed
from tests.phases import changed


@pytest.mark.parametrize(
    ("ratio", "low", "high", "outcome"),
    [
        (0.50, 0.48, 0.52, "faster"),
        (2.00, 1.90, 2.10, "slower"),
        (1.01, 0.95, 1.08, "no change"),  # the interval holds 1, closely
        (0.90, 0.79, 1.02, "inconclusive"),  # widely
        (1.20, 0.99, 1.40, "inconclusive"),
        (0.98, 0.97, 0.99, "no change"),  # sure, but under 3 %
        (1.029, 1.02, 1.04, "no change"),
        (0.96, 0.95, 0.97, "faster"),
        (0.60, None, None, "faster"),  # an estimate
    ],
)
def test_a_change_needs_an_interval_without_1_and_3_percent(
    ratio: float, low: float | None, high: float | None, outcome: str
) -> None:
    assert speed.word(Speed(against="fp32", ratio=ratio, low=low, high=high)) == outcome


def test_few_pairs_claim_nothing(make: SimpleNamespace) -> None:
    few = Ratio(value=0.5, low=0.49, high=0.51, pairs=3, kind="range")
    for value in (0.5, 1.0, 2.0):
        seen = Speed(against="fp32", ratio=value, low=0.9 * value, high=1.1 * value, kind="range", pairs=3)
        assert speed.word(seen) == "inconclusive"
    pruned = changed(make.on_host("pruned80-int8", "host-cpu"), ratio=few)
    rows = make.comparison([make.on_host("fp32", "host-cpu"), make.on_host("int8", "host-cpu"), pruned]).rows
    assert speed.outcome(rows[2], rows[0]) == "inconclusive"
    told = "3 pairs of windows are too few to tell a change of latency against fp32 (ratio 0.50 (0.49–0.51))"
    assert rows[2].verdict.startswith(told)
    assert "aster than" not in rows[2].verdict


def verdicts(comparison: Comparison, device: str) -> dict[str, str]:
    return {row.variant: row.verdict for row in comparison.rows if row.device == device}


def test_verdicts_of_a_measured_device(comparison: Comparison) -> None:
    told = verdicts(comparison, "host-cpu")
    assert told["fp32"] == "The reference: ratios, changes and sizes are against it."
    assert told["dynamic"] == (
        "1.44× faster than fp32 [1.38–1.50]; no significant change of accuracy (−0.3 points, p = 1.00); "
        "file 3.88× smaller, 4.45× smaller under gzip."
    )
    assert told["fp16"] == (
        "No measurable change of latency against fp32 (ratio 1.01 [0.97–1.05]); accuracy as fp32's on every example; "
        "file 1.99× smaller, 2.04× smaller under gzip. "
        "Likely cause: 8 float16 tensors are expanded to float32 when the model loads."
    )
    assert told["int16x8"].startswith("9.51× slower than fp32 [9.13–9.90]; ")
    assert told["int16x8"].endswith("Likely cause: this runtime has no optimised kernels for int16×8.")
    # 2 of 21 are the variant's: 2 * (1 + 21 + 210) / 2^21 = 0.0002, the least of seven
    assert "accuracy −4.7 points (p = 0.002 by Holm)" in told["pruned80-clustered16-int8"]
    assert told["longer-fp32"].endswith("file of the same size.")


def test_zeros_that_bring_no_speed_are_told_against_the_same_scheme(comparison: Comparison) -> None:
    told = verdicts(comparison, "host-cpu")
    assert "No faster than int8: this runtime computes zeros like any" in told["pruned80-int8"]
    assert "(2.83× smaller under gzip than int8)" in told["pruned80-int8"]
    assert "computes zeros and shared values" in told["pruned80-clustered16-int8"]
    assert "No faster" not in told["int8"]
    assert "No faster" not in told["longer-fp32"]  # trained further: nothing to blame


def test_zeros_that_the_file_alone_leaves_out_are_told(make: SimpleNamespace) -> None:
    subject = make.subject("pruned80-int8")
    artifact = subject.artifact.model_copy(update={"operators": {"CONV_2D": 2, "DENSIFY": 2}, "bytes": 100_000})
    rows = make.comparison([make.on_host("fp32", "host-cpu"), make.on_host("int8", "host-cpu")]).rows
    (own,) = make.comparison([make.on_host("pruned80-int8", "host-cpu")]).rows
    own = own.model_copy(update={"bytes": 100_000})
    sparse = subject.model_copy(update={"artifact": artifact})
    (cause,) = causes.causes(own, [*rows, own], sparse)
    assert cause == (
        "no faster than int8: this runtime fills in the zeros that the file leaves out when it loads, and computes "
        "them like any other weights, so the gain is in the file alone (3.38× smaller, 2.83× smaller under gzip than "
        "int8)"
    )


def test_zeros_that_do_bring_speed_are_not_blamed(make: SimpleNamespace) -> None:
    ratio = Ratio(value=0.3, low=0.29, high=0.31, pairs=3)
    quick = changed(make.on_host("pruned80-int8", "host-cpu"), ratio=ratio)
    rows = make.comparison([make.on_host("fp32", "host-cpu"), make.on_host("int8", "host-cpu"), quick]).rows
    assert "No faster" not in rows[-1].verdict


def test_estimates_are_compared_with_the_first_that_runs_and_say_so(comparison: Comparison) -> None:
    told = verdicts(comparison, "ethos-u55-128")
    assert told["int8"].startswith("The others are compared with it here, as fp32 does not run; ")
    assert told["pruned80-int8"] == (
        "Estimated 1.14× faster than int8; "  # 1.84 ms over 1.61 ms
        "against fp32: no significant change of accuracy (−0.6 points, p = 1.00 by Holm), "  # 0.69 alone
        "file 3.91× smaller, 12.8× smaller under gzip; "
        # of 9 examples that one alone gets right, 2 are the variant's: 2 * (1 + 9 + 36) / 2^9
        "against the control longer-fp32 (10 epochs of training where this had 9): accuracy −1.4 points, p = 0.18."
    )
    assert told["fp32"] == "Unsupported: the NPU runs integers only; fp32 is float32."
    assert told["int16x8"].startswith("Invalid: 2 of 9 operators fall back to the CPU")
    assert "No faster" not in told["pruned80-int8"]


def test_integers_that_lose_more_than_two_points_are_told(comparison: Comparison) -> None:
    """Of 360 examples int8 has one more wrong than fp32, and the chain 17."""
    told = verdicts(comparison, "host-cpu")
    lossy = [variant for variant, said in told.items() if "Lossy: more than 2 points of accuracy are lost" in said]
    assert lossy == ["pruned80-clustered16-int8"]
    assert "Lossy" in verdicts(comparison, "ethos-u55-128")["pruned80-clustered16-int8"]


@pytest.mark.parametrize(
    ("scheme", "quality", "lossy"),
    [
        ("int8", 0.949, True),
        ("int16x8", 0.949, True),
        ("dynamic", 0.949, False),
        ("int8", 0.951, False),
        ("int8", 1.0, False),
    ],
)
def test_only_integers_throughout_are_lossy(make: SimpleNamespace, scheme: str, quality: float, lossy: bool) -> None:
    """Even where the examples are too few to tell it from chance."""
    base = make.subject("fp32")
    (score,) = (s for s in base.evaluation.scores if s.split == "test" and s.kernels == "default")
    evaluation = base.evaluation.model_copy(update={"scores": (score.model_copy(update={"value": 0.97}),)})
    (row,) = make.comparison([make.on_host("int8", "host-cpu")]).rows
    row = row.model_copy(update={"scheme": scheme, "quality": quality})
    base = base.model_copy(update={"evaluation": evaluation})
    assert bool(verdict._lossy(row, base)) is lossy
    assert verdict._lossy(row, None) == []


def test_noise_is_told(comparison: Comparison) -> None:
    assert verdicts(comparison, "host-cpu-2t")["dynamic"].endswith("Noisy: the windows differ by 9 % (CV).")


def test_drift_is_told(make: SimpleNamespace) -> None:
    drifted = make.on_host("int8", "host-cpu").model_copy(update={"flags": ("drift",)})
    assert "Drift: the reference ran at another level" in make.comparison([drifted]).rows[0].verdict


def test_a_failure_tells_its_reason(make: SimpleNamespace) -> None:
    failed = make.measurement("int8", "host-cpu", status="error", reason="the runner was killed")
    (row,) = make.comparison([failed]).rows
    assert row.verdict == "Failed: the runner was killed."
    assert speed.outcome(row, None) == "error"


def test_measurements_that_were_not_paired_are_not_compared(make: SimpleNamespace) -> None:
    alone = changed(make.on_host("int8", "host-cpu"), ratio=None)
    reference, row = make.comparison([make.on_host("fp32", "host-cpu"), alone]).rows
    assert speed.compared(row, reference) is None
    assert row.verdict.startswith("Latency not compared: no paired windows; ")


def test_an_estimate_is_not_compared_with_a_measurement(make: SimpleNamespace) -> None:
    estimate = make.measurement(
        "int8", "host-cpu", latency=Latency(provenance="estimated", ms_p50=0.1), energy=Energy(kind="none")
    )
    reference, row = make.comparison([make.on_host("fp32", "host-cpu"), estimate]).rows
    assert speed.compared(row, reference) is None
    assert speed.outcome(row, reference) == "not compared"


def test_no_anchor_where_nothing_ran(make: SimpleNamespace) -> None:
    rows = make.comparison([make.on_npu("fp32", "ethos-u55-128")]).rows
    assert speed.anchor(rows, "fp32") is None


def test_what_was_paired_with_an_invalid_reference_is_compared_with_that(make: SimpleNamespace) -> None:
    """A busy machine spoils the reference's own windows alone: the ratios of others are still against it."""
    busy = changed(make.on_host("fp32", "host-cpu"), status="invalid", reason="the machine was busy")
    for there in ([busy], []):
        rows = make.comparison([*there, make.on_host("int8", "host-cpu"), make.on_host("int16x8", "host-cpu")]).rows
        ran = [row for row in rows if row.measurement.status == "ok"]
        assert {row.anchor for row in ran} == {row.speed.against for row in ran if row.speed} == {"fp32"}
        assert "reference" not in {row.outcome for row in ran}
        assert not [row.verdict for row in ran if "does not run" in row.verdict]


@pytest.mark.parametrize(
    ("status", "said"), [("unsupported", "does not run"), ("invalid", "is invalid"), ("error", "failed")]
)
def test_what_has_become_of_the_reference_is_told_as_it_is(make: SimpleNamespace, status: str, said: str) -> None:
    gone = make.measurement("fp32", "ethos-u55-128", status=status, reason="so it is")
    estimated = [make.on_npu(variant, "ethos-u55-128") for variant in ("int8", "pruned80-int8")]
    comparison = make.comparison([gone, *estimated])
    assert comparison.rows[1].verdict.startswith(f"The others are compared with it here, as fp32 {said}; ")
    assert f"fp32 {said} here, so latencies are compared with int8." in page.render(comparison)


def counted(make: SimpleNamespace, variant: str, millions: float) -> object:
    return make.measurement(
        variant,
        "emulated-cortex-a76",
        energy=Energy(kind="none", reason="emulated"),
        instructions=Instructions(per_inference=millions * 1e6, spread=0.0, cpu="cortex-a76"),
    )


def test_instructions_are_compared_and_never_called_speed(make: SimpleNamespace) -> None:
    reference, row = make.comparison([counted(make, "fp32", 1.2), counted(make, "int8", 0.4)]).rows
    assert speed.outcome(row, reference) == "fewer instructions"
    assert row.verdict.startswith("3.00× fewer instructions than fp32 (a proxy of cost, no time); ")
    assert "faster" not in row.verdict


@pytest.mark.parametrize("millions", [1.19, 1.2, 1.21])
def test_as_many_instructions_are_neither_more_nor_fewer(make: SimpleNamespace, millions: float) -> None:
    row = make.comparison([counted(make, "fp32", 1.2), counted(make, "int8", millions)]).rows[1]
    assert row.outcome == "no change"
    told = f"(ratio {millions / 1.2:.2f}, a proxy of cost, no time); "
    assert row.verdict.startswith(f"As many instructions as fp32, to within 3% {told}")


def test_a_gpu_that_draws_no_more_than_idle_is_launch_bound(make: SimpleNamespace) -> None:
    ratio = Ratio(value=1.0, low=0.99, high=1.01, pairs=5)
    same = changed(
        make.on_host("int8", "host-cpu"), device_kind="pjrt", ratio=ratio, energy=Energy(kind="counter_nvml", mj=18.0)
    )
    told = {}
    for watts in (121.4, 300.0):
        windows = [w.model_copy(update={"variant": "int8", "idle_w": 120.3, "active_w": watts}) for w in same.windows]
        row = make.comparison([make.on_host("fp32", "host-cpu"), changed(same, windows=windows)]).rows[1]
        told[watts] = row.verdict
    assert told[121.4].endswith("Likely cause: launch-bound: the GPU draws only 1% more than idle, so it mostly waits.")
    assert "launch-bound" not in told[300.0]


def test_time_that_goes_into_conversions_is_blamed(make: SimpleNamespace) -> None:
    slower = Ratio(value=1.4, low=1.3, high=1.5, pairs=3)
    operators = tuple(
        Operator(name=str(i), kind=kind, ran_on="CPU", ms=ms)
        for i, (kind, ms) in enumerate([("Conv", 0.6), ("DequantizeLinear", 0.3), ("QuantizeLinear", 0.1)])
    )
    row = changed(make.on_host("int8", "host-cpu"), ratio=slower, operators=operators)
    told = make.comparison([make.on_host("fp32", "host-cpu"), row]).rows[1].verdict
    assert told.endswith("Likely cause: 40% of the operators' time goes into converting numbers, not computing.")


def test_operators_without_a_fast_kernel_in_these_numbers_are_blamed(make: SimpleNamespace) -> None:
    def row(variant: str, parts: int, outside: dict[str, int], **also: object) -> Measurement:
        about = {"delegate": {"operators": 66, "parts": parts, "outside": outside}}
        return changed(make.on_host(variant, "host-cpu"), details=about, **also)

    def told(ratio: float, outside: dict[str, int]) -> str:
        ratios = Ratio(value=ratio, low=ratio - 0.05, high=ratio + 0.05, pairs=5)
        rows = [row("fp32", 1, {"GATHER": 1}), row("int8", 12, outside, ratio=ratios)]
        return str(make.comparison(rows).rows[1].verdict)

    said = told(5.0, {"BATCH_MATMUL": 2, "GATHER": 1, "RSQRT": 3})
    assert said.endswith(
        "Likely cause: of 66 operators 5 more than of fp32 have no kernel of XNNPACK's and run on LiteRT's own, "
        "between 12 parts that it does run: BATCH_MATMUL, RSQRT."
    )
    assert "XNNPACK" not in told(0.5, {"BATCH_MATMUL": 2, "GATHER": 1}), "it is faster all the same"
    assert "XNNPACK" not in told(5.0, {"GATHER": 1}), "fp32 has it too"


def test_predicted_ranges_are_compared_end_with_end(make: SimpleNamespace) -> None:
    def predicted(variant: str, low: float, high: float) -> object:
        latency = Latency(provenance="estimated", ms_p50=(low * high) ** 0.5, ms_low=low, ms_high=high)
        return make.measurement(variant, "roofline", latency=latency, energy=Energy(kind="none", reason="none"))

    ranges = [predicted("fp32", 0.0002, 0.16), predicted("int8", 0.0001, 0.15), predicted("fp16", 0.0001, 0.17)]
    reference, int8, fp16 = make.comparison(ranges).rows
    assert speed.outcome(int8, reference) == "faster"
    assert "(1.07–2.00)" in int8.verdict
    assert speed.outcome(fp16, reference) == "inconclusive"


def test_estimates_from_published_figures_are_compared_among_themselves(make: SimpleNamespace) -> None:
    def predicted(variant: str, ms: float, fitted_to: str | None) -> object:
        latency = Latency(
            provenance="estimated", ms_p50=ms, ms_low=ms / 1.5, ms_high=ms * 1.5, fitted_to=fitted_to
        )  # fmt: skip
        return make.measurement(variant, "roofline", latency=latency, energy=Energy(kind="none", reason="none"))

    made = [("fp32", 4.0, "floats"), ("fp16", 3.0, "floats"), ("int8", 2.0, "integers"), ("dynamic", 0.1, None)]
    reference, fp16, int8, dynamic = make.comparison([predicted(*each) for each in made]).rows
    assert (fp16.speed.low, fp16.speed.high) == (pytest.approx(0.75), pytest.approx(0.75))
    assert fp16.outcome == "faster"
    assert (int8.speed.low, int8.speed.high) == (pytest.approx(0.5 / 2.25), pytest.approx(0.5 * 2.25))
    assert int8.outcome == "inconclusive"
    assert dynamic.speed is None  # by peaks alone
    assert dynamic.outcome == "not compared"
    assert FIGURES["latency_ms"].of(reference).origin == "estimate published"
    assert FIGURES["latency_ms"].of(dynamic).origin == "estimated"


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("bandwidth", "A token reads 9.1 GB/s, 83% of what this memory gives: bandwidth-bound, so fewer bytes make it"),
        ("caches", "83% of what this memory gives: much of it comes from caches."),
        ("compute", "83% of what this memory gives: its arithmetic or its calls take longer than its bytes."),
    ],
)
def test_what_limits_a_token_is_told_of_the_reference_too(make: SimpleNamespace, bound: str, told: str) -> None:
    about = {"bytes_read": 1, "read_gb_s": 9.1, "memory_gb_s": 11.0, "bound": bound}
    measured = make.on_host("fp32", "host-cpu")
    phases = {name: phase.model_copy(update={"details": about}) for name, phase in measured.phases.items()}
    (row,) = make.comparison([measured.model_copy(update={"phases": phases})]).rows
    assert told in row.verdict
