import json
from pathlib import Path

import pytest

from tasks import paths
from tasks.params import Params
from tasks.records import Latency, Measurement
from tasks.report import roofline_error
from tasks.stages.report import report
from tests.phases import of_inference

SHA = "0" * 64


def measurement(variant: str, device: str, kind: str, latency: Latency | None, **changes: object) -> Measurement:
    fields = {
        "variant": variant,
        "device": device,
        "device_kind": kind,
        "status": "ok",
        "mode": "quick",
        "artifact_sha256": SHA,
        "latency": latency,
    }
    return Measurement.model_validate(of_inference(fields | changes))


def predicted(variant: str, low: float, middle: float, high: float, twin: str | None = "gpu") -> Measurement:
    latency = Latency(provenance="estimated", ms_p50=middle, ms_low=low, ms_high=high)
    return measurement(variant, "roofline-gpu", "roofline", latency, details={"measured_as": twin})


def measured(variant: str, ms: float, **changes: object) -> Measurement:
    return measurement(variant, "gpu", "pjrt", Latency(provenance="measured", ms_p50=ms), **changes)


def test_the_error_is_measured_over_predicted() -> None:
    errors = roofline_error.find(
        [predicted("a", 1, 2, 4), predicted("b", 1, 2, 4), measured("b", 8.0), measured("a", 3.0)]
    )
    assert [(e.variant, e.factor, e.inside) for e in errors] == [("a", 1.5, True), ("b", 4.0, False)]
    assert (errors[0].ms_low, errors[0].ms_predicted, errors[0].ms_high, errors[0].ms_measured) == (1, 2, 4, 3)
    (note,) = roofline_error.notes(errors)
    assert note == (
        "roofline-gpu against gpu, measured: 1 of 2 medians lie within the predicted range;"
        " measured is 1.5 to 4.0 times the predicted middle."
    )


@pytest.mark.parametrize("edge", [1.0, 4.0])
def test_the_ends_of_the_range_are_inside(edge: float) -> None:
    assert roofline_error.find([predicted("a", 1, 2, 4), measured("a", edge)])[0].inside


@pytest.mark.parametrize(
    "other",
    [
        measured("b", 3.0),
        measured("a", 3.0, artifact_sha256="1" * 64),
        measured("a", 3.0, status="invalid", reason="noise"),
        measurement("a", "gpu", "ethos-u", Latency(provenance="estimated", ms_p50=3.0)),
        measurement("a", "gpu", "pjrt", None),
        measurement("a", "other", "pjrt", Latency(provenance="measured", ms_p50=3.0)),
    ],
)
def test_only_the_same_artifact_measured_on_the_named_device_counts(other: Measurement) -> None:
    assert roofline_error.find([predicted("a", 1, 2, 4), other]) == []


def test_hardware_without_a_measured_twin_has_no_error() -> None:
    assert roofline_error.find([predicted("a", 1, 2, 4, twin=None), measured("a", 3.0)]) == []
    assert roofline_error.notes([]) == []


def test_the_report_keeps_and_tells_the_errors(study: Path, params: Params) -> None:
    sha = json.loads(paths.benchmark("int8", "host-cpu").read_text())["artifact_sha256"]
    prediction = predicted("int8", 0.01, 0.1, 0.15, twin="host-cpu").model_copy(update={"artifact_sha256": sha})
    prediction.save(paths.benchmark("int8", "roofline-gpu"))
    listed = params.benchmark.model_copy(update={"devices": [*params.benchmark.devices, "roofline-gpu"]})
    report(params.model_copy(update={"benchmark": listed}))
    (error,) = json.loads((paths.REPORT / "roofline.json").read_text())
    assert (error["variant"], error["measured_as"], error["inside"]) == ("int8", "host-cpu", False)
    assert error["factor"] == pytest.approx(1.96)  # the study's 0.196 ms
    assert any(
        "roofline-gpu against host-cpu, measured" in n
        for n in json.loads((paths.REPORT / "comparison.json").read_text())["notes"]
    )
