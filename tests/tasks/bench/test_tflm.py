import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import pytest

from tasks.bench import devices, judging, same_answers, timed, transport
from tasks.bench.answers import Answer
from tasks.bench.kinds import mcu_tflm
from tasks.bench.kinds.mcu_tflm import Tflm
from tasks.bench.request import Artifact, Questions, Request
from tasks.bench.setup import Setup
from tasks.errors import UnsupportedError
from tasks.formats import tflite
from tasks.published import estimate
from tasks.published.estimate import Kernels
from tasks.published.fit import fitted
from tasks.published.work import KINDS
from tasks.quantize import ai_edge, litert
from tasks.records import ArtifactCard, Judged, estimates
from tasks.records.metrics import Kept

Build = Callable[..., dict[str, Any]]
Pair = Callable[[str, str], Request]
BOARDS = ["esp32-s3", "nrf52840", "rp2040", "stm32h743", "stm32l4r5"]


def answer(request: dict[str, Any], **fields: Any) -> tuple[Answer, dict[str, np.ndarray]]:
    request = request | fields
    response = transport.Local().run(request, {"model": Path(request["model"])}, {}, timeout_s=60)
    if response.status != "ok":
        return response, {}
    with np.load(request["outputs"]) as file:
        return response, dict(file)


@pytest.mark.parametrize(("name", "steps"), [("float32", 0), ("int8", 2), ("int16x8", 2)])
def test_it_answers_as_litert_does(request_of: Build, name: str, steps: int) -> None:
    ask = request_of(name, "predict", kernels="reference")
    _, expected = answer(ask)
    _, found = answer(ask, runtime="tflm", options={})
    assert found.keys() == expected.keys()
    (scale,) = (tensor.scale or 1e-6 for tensor in litert.inspect(Path(ask["model"]).read_bytes()).outputs)
    for key, values in expected.items():
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key], values, rtol=0, atol=max(steps, 1) * scale * 1.001)
    assert len(np.unique(np.concatenate(list(found.values())), axis=0)) == 6  # each example has its own answer


def test_several_inputs_and_outputs_go_by_their_names(request_of: Build) -> None:
    rng = np.random.default_rng(3)
    columns = {"b": rng.random((4, 3), np.float32), "a": rng.random((4, 3), np.float32)}
    _, found = answer(request_of("two", "predict", columns), runtime="tflm", options={})
    np.testing.assert_array_equal(found["difference"], columns["a"] - columns["b"])
    np.testing.assert_array_equal(found["product"], columns["a"] * columns["b"])


@pytest.mark.parametrize(("name", "width"), [("float32", 4), ("int8", 1), ("int16x8", 2)])
def test_the_arenas_head_is_the_activations_that_live_together(request_of: Build, name: str, width: int) -> None:
    response, _ = answer(request_of(name, "predict"), runtime="tflm", options={})
    arena = response.facts["arena_bytes"]
    assert arena["head"] == 2 * 144 * width  # the convolution's output and its flat copy
    assert arena["total"] == arena["head"] + arena["tail"]


def patched(golden: Path, folder: Path) -> Path:
    """The file of two operators with its first one changed to one that microcontrollers do not have."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf((golden / "two.tflite").read_bytes(), 0)
    code = model.operatorCodes[model.subgraphs[0].operators[0].opcodeIndex]
    code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.ATAN2, 127
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = folder / "patched.tflite"
    path.write_bytes(builder.Output())
    return path


def test_a_missing_operator_is_named(request_of: Build, golden: Path, tmp_path: Path) -> None:
    columns = {"a": np.zeros((1, 3), np.float32), "b": np.zeros((1, 3), np.float32)}
    ask = request_of("two", "predict", columns, runtime="tflm", options={}, model=str(patched(golden, tmp_path)))
    response, _ = answer(ask)
    assert response.status == "unsupported"
    assert "ATAN2" in str(response.reason)
    response, _ = answer(request_of("custom", "predict", {"x": np.zeros((1, 3), np.float32)}), runtime="tflm")
    assert response.status == "unsupported"
    assert "Igamma" in str(response.reason)


def test_what_is_no_model_and_what_is_no_such_input_is_refused(request_of: Build, tmp_path: Path) -> None:
    noise = tmp_path / "noise.tflite"
    noise.write_bytes(np.random.default_rng(0).bytes(3000))
    response, _ = answer(request_of("int8", "predict"), runtime="tflm", options={}, model=str(noise))
    assert (response.status, response.reason) == ("unsupported", "not a LiteRT file")
    larger = {"image": np.zeros((2, 9, 9, 1), np.float32)}
    response, _ = answer(request_of("int8", "predict", larger), runtime="tflm", options={})
    assert response.status == "unsupported"
    assert "fixed at (1, 8, 8, 1)" in str(response.reason)


@pytest.fixture
def board(pair: Pair, golden: Path, images: np.ndarray, tmp_path: Path) -> Callable[..., Request]:
    """A pair whose card tells its outputs, with 6 examples as the test split; keywords change the board."""
    np.savez(tmp_path / "split.npz", image=images)

    def build(variant: str, **changes: object) -> Request:
        request = pair("int8", "stm32h743")
        path = tmp_path / "model.tflite"
        shutil.copy(golden / f"{variant}.tflite", path)
        told = litert.inspect(path.read_bytes())
        fields = {**request.artifact.card.model_dump(), "variant": variant, "scheme": variant, "outputs": told.outputs}
        artifact = Artifact(ArtifactCard.model_validate(fields), path)
        device = request.device.model_copy(update={"kernels": None} | changes)
        return replace(request, artifact=artifact, device=device, splits={"test": Questions(tmp_path / "split.npz")})

    return build


def test_a_board_is_judged_by_its_kernels_and_never_timed(board: Callable[..., Request], request_of: Build) -> None:
    result = mcu_tflm.measure(board("int8"))
    measurement = result.measurement
    assert measurement.status == "ok"
    assert measurement.latency is None
    assert (measurement.energy.kind, measurement.energy.mj) == ("none", None)
    assert measurement.energy.reason == "not executed on the board"
    assert measurement.memory is not None
    assert measurement.memory.provenance == "measured"
    assert measurement.memory.peak_kib * 1024 == measurement.details["arena_bytes"]["total"]
    assert "64-bit host" in measurement.memory.what
    assert measurement.stand_in
    assert result.samples == {}
    (expected,) = answer(request_of("int8", "predict"), runtime="tflm", options={})[1].values()
    np.testing.assert_array_equal(result.kept["test"].values, expected)
    json.dumps(measurement.model_dump(mode="json"), allow_nan=False)


def test_published_kernels_give_a_time_and_an_energy_with_their_errors(board: Callable[..., Request]) -> None:
    """Of the golden network: a convolution of one channel, 3x3 to 6x6x4, and a dense layer of 144 to 4, by hand."""
    changes = {"kernels": "tflm-reference", "board": "nucleo-l4r5zi", "core": "Arm Cortex-M4F", "clock_mhz": 120.0}
    measurement = mcu_tflm.measure(board("int8", **changes)).measurement
    fit = fitted(estimate.figures(estimate.rows(Kernels("tflm-reference"))))
    taken = {"single": 36 * 4 * 9, "dense": 144 * 4, "outputs": 36 * 4 + 4, "weights": 4 * 9 + 144 * 4}
    rates = dict(zip(KINDS, np.exp(fit.rates), strict=True))
    cycles = np.exp(fit.bases["nucleo-l4r5zi"]) * sum(rates[kind] * n for kind, n in taken.items())
    latency, energy = measurement.latency, measurement.energy
    assert latency is not None
    assert latency.ms_low is not None
    assert latency.ms_high is not None
    assert latency.provenance == "estimated"
    assert latency.ms_p50 == pytest.approx(cycles / 120e3)
    assert latency.ms_low < latency.ms_p50 < latency.ms_high
    errors = [abs(guess.error) for guess in estimate.guesses(Kernels("tflm-reference"))]
    assert latency.judged == Judged(rows=4, mean=fmean(errors), median=median(errors), worst=max(errors))
    assert energy.kind == "estimate_published"
    assert energy.mj == pytest.approx(latency.ms_p50 * 0.0408, rel=0.02)  # 41 mW: 29.2 mJ in 704 ms, and the like
    assert energy.judged is not None
    told = estimates.errors(measurement)
    assert (
        told["latency_ms"] == f"mean error {fmean(errors):.0%} on 4 published figures left out, worst {max(errors):.0%}"
    )
    assert told["energy_mj"].endswith("given the latency")
    json.dumps(measurement.model_dump(mode="json"), allow_nan=False)


def test_what_nothing_is_published_of_is_said_and_is_no_figure(board: Callable[..., Request]) -> None:
    floats = mcu_tflm.measure(board("float32", kernels="hale")).measurement
    assert floats.latency is None
    assert floats.energy.reason == (
        "not executed on the board, and not estimated: what is published is of int8 throughout, the scheme is float32"
    )
    alien = mcu_tflm.measure(board("int8", kernels="hale", core="Xtensa LX7")).measurement
    assert alien.latency is None
    assert "no figure of the core xtensa-lx7 is published" in str(alien.energy.reason)
    elsewhere = mcu_tflm.measure(board("int8", kernels="x-cube-ai", core="Arm Cortex-M33")).measurement
    assert elsewhere.latency is not None
    assert elsewhere.energy.kind == "none"
    assert "no energy of this board at 480 MHz is published" in str(elsewhere.energy.reason)


@pytest.mark.parametrize(("variant", "word"), [("float16", "DEQUANTIZE"), ("custom", "CUSTOM")])
def test_what_the_kernels_refuse_is_unsupported(board: Callable[..., Request], variant: str, word: str) -> None:
    with pytest.raises(UnsupportedError, match=f"TensorFlow Lite Micro refuses it: .*{word}") as caught:
        mcu_tflm.measure(board(variant))
    assert "\n" not in str(caught.value)


def loud(content: bytes) -> bytes:
    """The network with one filter of its convolution 30 times the others, in 8-bit weights, a scale for each filter."""
    model = tflite.objects(content)
    (operator,) = (each for each in tflite.parse(content).main.operators if each.kind == "CONV_2D")
    buffer = model.buffers[model.subgraphs[0].tensors[operator.inputs[1]].buffer]
    kernel = np.frombuffer(bytes(buffer.data), np.float32).reshape(4, -1).copy()
    kernel[0] *= 30
    buffer.data = np.frombuffer(kernel.tobytes(), np.uint8)
    return ai_edge.quantize(tflite.pack(model), [ai_edge.Rule(ai_edge.numbers("int8-weights"))])


def test_kernels_that_answer_something_else_are_told_and_nothing_of_them_is_ok(
    board: Callable[..., Request], golden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8-bit weights with a scale for each filter: without the comparison, what they answer were the board's quality."""
    request = board("float32")
    request.artifact.path.write_bytes(loud((golden / "float32.tflite").read_bytes()))
    card = request.artifact.card.model_copy(update={"scheme": "int8-weights"})
    request = replace(request, artifact=Artifact(card, request.artifact.path))
    with pytest.raises(UnsupportedError, match="tflm does not compute what the file says: outputs of") as caught:
        mcu_tflm.measure(request)
    assert "\n" not in str(caught.value)
    options = {"kernels": "default", "threads": 1}
    setup = Setup(transport.Local(), "litert", options, energy={}, watts_per_core=(0.0, 0.0, 0.0))
    expected = timed.kept(request, setup)["test"].values
    monkeypatch.setattr(same_answers, "check", lambda _request, _setup: None)
    unchecked = mcu_tflm.measure(request)
    assert unchecked.measurement.status == "ok"
    off = unchecked.kept["test"].values - expected
    assert np.sqrt(np.mean(off**2)) > expected.std()


def test_one_step_of_an_integer_output_is_no_disagreement(
    board: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = board("int8")
    (step,) = (tensor.scale or 0.0 for tensor in request.artifact.card.outputs)
    flat = np.full((6, 4), 0.25, np.float32)
    given = {"litert": flat, "tflm": flat}
    monkeypatch.setattr(
        judging, "kept", lambda _artifact, _asked, setup: (Kept(given[setup.runtime], len(flat), sha256=""), {})
    )
    setup = Setup(transport.Local(), "tflm", options={}, energy={}, watts_per_core=(0.0, 0.0, 0.0))
    given["tflm"] = flat + np.float32(0.99 * step)
    same_answers.check(request, setup)
    given["tflm"] = flat + np.float32(1.01 * step)
    with pytest.raises(UnsupportedError, match="does not compute what the file says"):
        same_answers.check(request, setup)


def test_a_model_that_does_not_fit_keeps_its_figures(board: Callable[..., Request]) -> None:
    result = mcu_tflm.measure(board("int8", ram_kib=17))
    assert result.measurement.status == "unsupported"
    assert result.measurement.reason == (
        "does not fit: its arena of 1.7 KiB and 16 KiB for stack exceed the 17 KiB of RAM"
    )
    assert result.measurement.memory is not None
    assert result.kept == {}


def test_a_model_fits_to_the_last_byte() -> None:
    device = Tflm(
        name="b", kind="mcu-tflm", description="", core="", clock_mhz=1, ram_kib=100, flash_kib=200, datasheet=""
    )
    ram, flash = (100 - mcu_tflm.STACK_KIB) * 1024, (200 - mcu_tflm.CODE_KIB) * 1024
    assert mcu_tflm.misfit(device, ram, flash) is None
    too_large = mcu_tflm.misfit(device, ram + 1, flash)
    assert too_large is not None
    assert "100 KiB of RAM" in too_large
    assert "flash" not in too_large
    both = mcu_tflm.misfit(device, ram + 1, flash + 1)
    assert both is not None
    assert "200 KiB of flash" in both


@pytest.mark.parametrize("name", BOARDS)
def test_boards_are_in_the_catalog_with_their_datasheets(workshop: Path, name: str) -> None:
    device = devices.load(name)
    assert isinstance(device, Tflm)
    assert mcu_tflm.misfit(device, 0, 0) is None
    assert device.datasheet
