import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.bench import by_published, devices
from tasks.bench.kinds import roofline
from tasks.bench.kinds.roofline import Roofline
from tasks.bench.request import Artifact, Request
from tasks.errors import ParamsError, UnsupportedError
from tasks.formats.cost import Operator
from tasks.published import estimate, networks
from tasks.published.estimate import Kernels
from tasks.records import Measurement
from tests.networks import written

Pair = Callable[[str, str], Request]
CATALOG = [name.removeprefix("roofline-") for name in devices.names() if name.startswith("roofline-")]


def hardware(**changes: Any) -> Roofline:
    fields = {
        "name": "made-up",
        "kind": "roofline",
        "description": "",
        "peak_gops": {"float32": 1.0, "int8": 4.0},
        "bandwidth_gb_s": 1.0,
        "idle_w": 2.0,
        "peak_w": 8.0,
        "efficiency_low": 0.25,
        "overhead_us_per_operator": 3.0,
        "datasheet": "none",
    }
    return Roofline.model_validate(fields | changes)


def operator(**changes: Any) -> Operator:
    fields = {
        "kind": "CONV_2D",
        "name": "a",
        "dtype": "float32",
        "macs": 500,
        "operations": 1000,
        "weight_bytes": 100,
        "input_bytes": 200,
        "output_bytes": 300,
    }
    return Operator(**(fields | changes))  # type: ignore[arg-type]  # by hand


def test_the_range_is_that_of_the_golden_network_by_hand(pair: Pair) -> None:
    request = pair("float32", "roofline-raspberry-pi-4")
    device = hardware()
    measurement = roofline.measure(
        Request(request.artifact, request.reference, device, request.protocol, request.inputs)
    ).measurement
    # 1 operation and 1 byte a nanosecond: the convolution computes longer than it reads, the dense layer the other way
    convolution, dense = 2 * 36 * 9 * 4, 4 * (144 + 144 * 4 + 4)
    low = (convolution + dense) * 1e-6
    latency = measurement.latency
    assert latency is not None
    assert latency.provenance == "estimated"
    assert latency.ms_low == pytest.approx(low)
    assert latency.ms_high == pytest.approx(4 * low + 2 * 0.003)
    assert latency.ms_p50 == pytest.approx(math.sqrt(low * (4 * low + 0.006)))
    assert latency.ms_p90 is None
    assert [o.ms for o in measurement.operators] == [pytest.approx(convolution * 1e-6), pytest.approx(dense * 1e-6)]
    assert measurement.details["macs"] == 1872
    assert measurement.details["bound"] == "memory"
    assert measurement.details["memory_bound_share"] == pytest.approx(dense / (convolution + dense))
    energy = measurement.energy
    assert energy.kind == "estimate_datasheet"
    assert energy.low_mj == pytest.approx(2 * low)
    assert energy.high_mj == pytest.approx(8 * (4 * low + 0.006))
    assert energy.mj == pytest.approx(math.sqrt(2 * low * 8 * (4 * low + 0.006)))
    assert energy.formula
    assert measurement.memory is None
    assert measurement.stand_in


@pytest.mark.parametrize(
    ("scheme", "peaks", "expected"),
    [
        ("float32", {"float32": 1, "float16": 2, "int8": 4}, "float32"),
        ("float16", {"float32": 1, "float16": 2, "int8": 4}, "float16"),
        ("float16", {"float32": 1, "int8": 4}, "float32"),
        ("dynamic", {"float32": 1, "int8": 4}, "int8"),
        ("dynamic", {"float32": 1}, "float32"),
        ("int8", {"float32": 1, "int8": 4}, "int8"),
        ("int8", {"float32": 1}, None),
        ("int16x8", {"float32": 1, "int8": 4}, None),
        ("float32", {"int8": 4}, None),
        ("dynamic", {"int8": 4}, None),
    ],
)
def test_a_scheme_is_held_against_a_precision_it_computes_in(
    scheme: str, peaks: dict[str, float], expected: str | None
) -> None:
    device = hardware(peak_gops=peaks)
    if expected is None:
        with pytest.raises(UnsupportedError, match=f"scheme {scheme}: the datasheet of made-up has figures for "):
            roofline.precision(scheme, device)
    else:
        assert roofline.precision(scheme, device) == expected


def test_views_cost_nothing_and_halves_move_half() -> None:
    device = hardware(peak_gops={"float32": 1, "float16": 2})
    whole, half = (
        roofline.costs([operator(), operator(kind="RESHAPE")], device, used) for used in ("float32", "float16")
    )
    assert len(whole) == len(half) == 1
    assert whole[0].memory_ms == pytest.approx(600e-6)
    assert half[0].memory_ms == pytest.approx(350e-6)
    assert half[0].compute_ms == pytest.approx(whole[0].compute_ms / 2)
    assert whole[0].ms == whole[0].compute_ms


def test_nothing_to_compute_is_no_prediction_of_zero() -> None:
    with pytest.raises(UnsupportedError, match="nothing to predict"):
        roofline.predict(roofline.costs([operator(kind="RESHAPE")], hardware(), "float32"), hardware())


@pytest.mark.parametrize("name", CATALOG)
def test_the_catalogs_hardware_predicts_a_range(pair: Pair, name: str) -> None:
    request = pair("int8", f"roofline-{name}")
    device = request.device
    assert isinstance(device, Roofline)
    latency = roofline.measure(request).measurement.latency
    assert latency is not None
    assert latency.ms_low is not None
    assert latency.ms_high is not None
    assert 0 < latency.ms_low < latency.ms_p50 < latency.ms_high
    peaks = [device.peak_gops[p] for p in ("float32", "float16", "int8") if p in device.peak_gops]  # type: ignore[index]  # literal
    assert peaks == sorted(peaks)


def test_what_draws_an_untold_power_has_no_energy(pair: Pair) -> None:
    energy = roofline.measure(pair("int8", "roofline-rk3588")).measurement.energy
    assert (energy.kind, energy.reason) == ("none", "what roofline-rk3588 draws is not told")


def test_the_measured_twin_of_the_h200_is_named(workshop: Path) -> None:
    device = devices.load("roofline-h200-sxm")
    assert isinstance(device, Roofline)
    assert device.measured_as == "nvidia-gpu"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("idle_w: 120", "", "idle_w, peak_w: received one of them; a range needs both"),
        ("idle_w: 120", "idle_w: 800", "idle_w: received 800; at most peak_w, 700"),
        ("efficiency_low: 0.01", "efficiency_low: 1.5", "efficiency_low: received 1.5; "),
        ("float32: 494700", "float64: 1", "peak_gops.*float64"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(workshop: Path, old: str, new: str, message: str) -> None:
    path = Path("infra/devices/roofline-h200-sxm.yaml")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ParamsError, match=message):
        devices.load("roofline-h200-sxm")


def of_network(pair: Pair, folder: Path, name: str, scheme: str, device: str) -> Measurement:
    """A pair whose file has the products of a published network."""
    precision = "int8" if scheme == "int8" else "float32"
    path = written(folder / "model.tflite", networks.NETWORKS[name]().products, precision)
    request = pair("int8", device)
    card = request.artifact.card.model_copy(update={"scheme": scheme})
    return roofline.measure(replace(request, artifact=Artifact(card, path))).measurement


def test_published_figures_of_the_board_come_before_the_peaks(pair: Pair, tmp_path: Path) -> None:
    """The network itself was published on this board: what is estimated lies by it, and says what it was fitted to."""
    measurement = of_network(pair, tmp_path, "mobilenet_v1-1.0-224", "int8", "roofline-raspberry-pi-4")
    latency = measurement.latency
    assert latency is not None
    assert latency.judged is not None
    assert latency.ms_low is not None
    assert latency.ms_high is not None
    assert latency.ms_low < 34.2 < latency.ms_high  # ms by ncnn with four threads
    assert latency.ms_p50 == pytest.approx(34.2, rel=0.35)
    rows = estimate.rows(Kernels("ncnn", "int8", "4"))
    assert (
        measurement.details["estimated_from"]
        == latency.fitted_to
        == (f"{len(rows)} figures of ncnn in int8, {len({row.board for row in rows})} boards, 3 networks")
    )
    assert measurement.energy.low_mj == pytest.approx(3.0 * latency.ms_low)
    assert measurement.details["bound"] in ("memory", "compute")


def test_where_nothing_is_published_the_peaks_count_and_the_reason_is_told(pair: Pair, tmp_path: Path) -> None:
    found = of_network(pair, tmp_path, "dscnn", "dynamic", "roofline-raspberry-pi-4")
    assert found.latency is not None
    assert found.latency.judged is None
    assert (
        found.details["estimated_from"] == "the peaks: what is published is of int8 throughout, the scheme is dynamic"
    )
    assert found.latency.fitted_to is None
    plain = of_network(pair, tmp_path, "dscnn", "int8", "roofline-h200-sxm")
    assert "estimated_from" not in plain.details


def test_products_of_activations_have_nothing_published(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attention's, say: a convolution's rate tells nothing of them."""
    monkeypatch.setattr(by_published.cost, "read", lambda _path: (operator(kind="BATCH_MATMUL"),))
    request = pair("int8", "roofline-raspberry-pi-4")
    found = by_published.latency(request.artifact, Kernels("ncnn", "int8", "4"), "raspberry-pi-4")
    assert found == "nothing is published of its products of activations with each other"


def test_a_roofline_hangs_from_the_figures_that_it_is_made_from(workshop: Path) -> None:
    named = devices.fingerprint(devices.load("roofline-raspberry-pi-5"))
    assert {"int8", "float32"} <= named.keys()
    assert "int8" not in devices.fingerprint(devices.load("roofline-h200-sxm"))
