import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.bench import devices
from tasks.bench.kinds import ethos_u
from tasks.bench.request import Artifact, Request
from tasks.errors import DeviceError, UnsupportedError
from tasks.quantize import ai_edge
from tasks.records import estimates

Pair = Callable[[str, str], Request]


def report(cpu: tuple[str, ...] = (), npu: int = 3, **figures: float) -> ethos_u.Report:
    areas = ("dram", "on_chip_flash", "off_chip_flash", "sram")
    summary = {f"{area}_total_bytes": 0.0 for area in areas} | {"nn_macs": 0.0} | figures
    return ethos_u.Report({key: str(value) for key, value in summary.items()}, cpu, npu, (), Path("none"))


@pytest.mark.parametrize("device", ["ethos-u55-128", "ethos-u85-256"])
def test_an_integer_network_is_estimated(pair: Pair, device: str) -> None:
    result = ethos_u.measure(pair("int8", device))
    measurement, samples = result.measurement, result.samples
    assert samples == {}
    assert measurement.status == "ok"
    assert measurement.latency is not None
    assert measurement.latency.provenance == "estimated"
    assert measurement.latency.ms_p90 is None
    assert measurement.ratio is None
    # cycles over the clock that the system configuration sets
    mhz = {"ethos-u55-128": 500, "ethos-u85-256": 1000}[device]
    assert measurement.latency.ms_p50 == pytest.approx(measurement.details["cycles"] / mhz / 1e3)
    assert measurement.latency.ms_p50 > 0
    assert measurement.memory is not None
    assert measurement.memory.peak_kib * 1024 == measurement.details["sram_bytes"] > 0
    assert measurement.details["macs"] >= 36 * 9 * 4  # the convolution's: positions, taps, filters
    energy = measurement.energy
    assert energy.kind == "estimate_compiler"
    assert energy.low_mj is not None
    assert energy.high_mj is not None
    assert 0 < energy.low_mj < energy.high_mj
    assert energy.mj == pytest.approx(math.sqrt(energy.low_mj * energy.high_mj))
    assert measurement.kernels == "reference"
    assert measurement.stand_in


def test_the_estimate_is_the_same_each_time(pair: Pair) -> None:
    assert ethos_u.measure(pair("int8", "ethos-u55-128")) == ethos_u.measure(pair("int8", "ethos-u55-128"))


def test_sixteen_bit_activations_compile_too(pair: Pair) -> None:
    assert ethos_u.measure(pair("int16x8", "ethos-u55-128")).measurement.status == "ok"


def test_a_float_network_is_unsupported_though_vela_ends_well(pair: Pair) -> None:
    with pytest.raises(
        UnsupportedError, match=r"nothing runs on the accelerator: FULLY_CONNECTED: .*Float32"
    ) as caught:
        ethos_u.measure(pair("float32", "ethos-u55-128"))
    assert "\n" not in str(caught.value)


def test_operators_left_to_the_cpu_make_the_latency_invalid(pair: Pair) -> None:
    measurement = ethos_u.measure(pair("mixed", "ethos-u55-128")).measurement
    assert measurement.status == "invalid"
    assert measurement.latency is None
    assert measurement.energy.mj is None
    assert measurement.reason is not None
    assert measurement.reason.startswith("3 of 6 operators (50%) fall back to the CPU")
    assert "Cumsum, Dequantize, Quantize" in measurement.reason
    assert "CUMSUM: Unsupported opType" in measurement.reason
    assert measurement.details["npu_part_only_ms"] > 0


def test_what_vela_refuses_is_unsupported(pair: Pair, tmp_path: Path) -> None:
    request = pair("int8", "ethos-u55-128")
    noise = replace(request.artifact, path=tmp_path / "noise.tflite")
    noise.path.write_bytes(bytes(range(256)) * 8)
    with pytest.raises(UnsupportedError, match="Vela refuses the network: ") as caught:
        ethos_u.ships(noise, request.device, tmp_path)
    assert "\n" not in str(caught.value)


def test_what_vela_crashes_on_is_told_by_its_types(pair: Pair, golden: Path, tmp_path: Path) -> None:
    four = ai_edge.quantize((golden / "float32.tflite").read_bytes(), [ai_edge.Rule(ai_edge.numbers("int4-weights"))])
    (tmp_path / "four.tflite").write_bytes(four)
    with pytest.raises(UnsupportedError, match=r"Vela .*: it cannot read tensors of int4, and crashes with SIGFPE$"):
        ethos_u.vela(tmp_path / "four.tflite", pair("int8", "ethos-u55-128").device, tmp_path)


def test_what_vela_raises_is_told_from_its_beginning(pair: Pair, golden: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"SEQUENCE_LSTM.*IFM must be INT8 or INT16") as caught:
        ethos_u.vela(golden / "recurrent.tflite", pair("int8", "ethos-u55-128").device, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_compiler_that_does_not_end_is_a_failure(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethos_u, "TIMEOUT_S", 0.01)
    with pytest.raises(DeviceError, match=r"did not end within 0\.01 s"):
        ethos_u.measure(pair("int8", "ethos-u55-128"))


def test_what_is_shipped_holds_the_accelerators_operator(described: Callable[[str], Artifact], tmp_path: Path) -> None:
    artifact, device, found = described("int8"), devices.load("ethos-u55-128"), []
    for folder in (tmp_path / "first", tmp_path / "second"):
        folder.mkdir()
        shipped = ethos_u.ships(artifact, device, folder)
        assert sorted(path.name for path in folder.iterdir()) == ["model.tflite", "model_vela.tflite"]
        assert (shipped.file, shipped.serves) == ("model_vela.tflite", "model.tflite")
        found.append((folder / shipped.file).read_bytes())
    assert b"ethos-u" in found[0]
    assert found[0] == found[1]
    with pytest.raises(DeviceError, match="host-cpu"):
        ethos_u.ships(artifact, devices.load("host-cpu"), tmp_path)


def test_energy_is_operations_and_traffic() -> None:
    found = ethos_u.energy(
        report(nn_macs=1e6, sram_total_bytes=2e6, dram_total_bytes=3e5, off_chip_flash_total_bytes=1e5), "int8"
    )
    assert found.low_mj == pytest.approx((0.3e6 + 2e6 * 1.25 + 4e5 * 162) * 1e-9)
    assert found.high_mj == pytest.approx((0.3e6 + 2e6 * 12.5 + 4e5 * 325) * 1e-9)
    assert ethos_u.energy(report(nn_macs=1e6), "int16x8").mj == pytest.approx(0.5e-3)


def test_more_macs_per_cycle_never_take_longer(pair: Pair) -> None:
    request = pair("int8", "ethos-u55-128")
    small = request.device.model_copy(update={"accelerator": "ethos-u55-32"})
    slower = ethos_u.measure(
        Request(request.artifact, request.reference, small, request.protocol, request.inputs)
    ).measurement
    faster = ethos_u.measure(request).measurement
    assert slower.latency is not None
    assert faster.latency is not None
    assert slower.latency.ms_p50 >= faster.latency.ms_p50


def test_a_network_without_products_runs_all_the_same(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = dict.fromkeys(
        (
            *("cycles_total", "sram_memory_used", "off_chip_flash_memory_used", "dram_memory_used"),
            *("total_npu_encoded_weights", "total_original_weights"),
        ),
        1.0,
    )
    added = report(npu=1, inference_time=2e-6, **figures)  # an addition, say
    monkeypatch.setattr(ethos_u, "vela", lambda *_: added)
    measurement = ethos_u.measure(pair("int8", "ethos-u55-128")).measurement
    assert measurement.status == "ok"
    assert measurement.latency is not None
    assert measurement.latency.ms_p50 == pytest.approx(0.002)


@pytest.mark.parametrize(("name", "known"), [("ethos-u55-128", True), ("ethos-u85-256", False)])
def test_it_stands_in_the_record(pair: Callable[[str, str], Request], name: str, known: bool) -> None:
    measurement = ethos_u.measure(pair("int8", name)).measurement
    assert measurement.latency is not None
    assert (measurement.latency.judged is not None) == known
    assert estimates.errors(measurement)["latency_ms"] == (
        "off by 7% on the only published figure" if known else "error not known"
    )
    assert ("judged" in devices.fingerprint(devices.load(name))) == known
