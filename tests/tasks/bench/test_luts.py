"""Weights in look-up tables: a smaller file that answers the same, number for number, and none where that is not so."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tasks import files, paths
from tasks.bench import devices, luts
from tasks.bench.kinds import mcu_tflm
from tasks.bench.kinds.mcu_tflm import Tflm
from tasks.bench.request import Artifact, Request, made_in
from tasks.formats import tflite
from tasks.params import Params
from tasks.quantize import litert
from tasks.records import ArtifactCard
from tasks.ship import firmware
from tasks.stages.compress import compress
from tasks.stages.prepare import prepare
from tasks.stages.quantize import quantize
from tasks.stages.train import train

ROOT = Path(__file__).resolve().parents[3]

WIDTH, CLASSES = 256, 48
SCALE = 2.0**-6  # of what goes in; a power of two, as all here, so that the arithmetic is exact


def dense(values: int, *, channels: bool = True) -> tuple[bytes, np.ndarray]:
    """A file of one int8 layer whose weights have so many values in each channel, and the weights [classes, width]."""
    from ai_edge_litert import schema_py_generated as schema

    rng = np.random.default_rng(values)
    steps = np.stack([np.sort(rng.choice(np.arange(-127, 128), values, replace=False)) for _ in range(CLASSES)])
    if not channels:  # one table for all
        steps[:] = steps[0]
    weights = np.take_along_axis(steps, rng.integers(0, values, (CLASSES, WIDTH)), axis=1).astype(np.int8)
    weights[:, :values] = steps  # each is there
    scales = [2.0**-9] * (CLASSES if channels else 1)
    model, graph, code, node = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], [code]
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(weights.tobytes(), np.uint8)
    code.builtinCode, code.version = schema.BuiltinOperator.FULLY_CONNECTED, 4
    code.deprecatedBuiltinCode = code.builtinCode
    node.inputs, node.outputs = [0, 1, -1], [2]
    node.builtinOptionsType, node.builtinOptions = (
        schema.BuiltinOptions.FullyConnectedOptions,
        schema.FullyConnectedOptionsT(),
    )
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [], [0], [2], [node]
    for name, shape, scale, buffer in (
        ("x", (1, WIDTH), [SCALE], 0), ("w", (CLASSES, WIDTH), scales, 1), ("scores", (1, CLASSES), [1.0], 0),
    ):  # fmt: skip
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, schema.TensorType.INT8, buffer
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = scale, [0] * len(scale)
        graph.tensors.append(tensor)
    return tflite.pack(model), weights


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Artifact]:
    """A function that makes an artifact of such a file, in a project of its own."""
    monkeypatch.chdir(tmp_path)

    def make(content: bytes) -> Artifact:
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        about = litert.inspect(content)
        card: dict[str, Any] = {
            "variant": "clustered", "model": "baseline", "scheme": "int8", "file": path.name, "bytes": len(content),
            "sha256": files.sha256(path), "gzip_bytes": 1, "inputs": about.inputs,
            "outputs": about.outputs, "operators": about.operators, "converter": "by hand",
        }  # fmt: skip
        return Artifact(ArtifactCard(**card), path)

    return make


@pytest.mark.parametrize(("values", "channels"), [(16, True), (3, True), (2, False)])
def test_a_clustered_layer_is_smaller_and_answers_what_the_arithmetic_says(
    artifact: Callable[..., Artifact], values: int, channels: bool
) -> None:
    content, weights = dense(values, channels=channels)
    made = artifact(content)
    path = luts.packed(made)
    assert path.stat().st_size < len(content), "or there is nothing to see"
    rng = np.random.default_rng(1)
    integers = rng.integers(-128, 128, (5, WIDTH))
    found = luts._answers(path, {"x": (integers * SCALE).astype(np.float32)})["scores"]
    exact = integers @ weights.T.astype(np.int64) * (SCALE * 2.0**-9)
    np.testing.assert_allclose(found, np.clip(exact, -128, 127), rtol=0, atol=0.5 + 1e-6)
    assert len(np.unique(found)) > 10


def test_sixteen_values_take_less_than_two_thirds_of_the_flash(artifact: Callable[..., Artifact]) -> None:
    content, _ = dense(16)
    assert luts.packed(artifact(content)).stat().st_size < 0.67 * len(content)


@pytest.mark.slow
def test_the_default_network_clustered_takes_six_tenths_of_the_flash_of_its_int8_file(project: Path) -> None:
    given = yaml.safe_load((ROOT / "params.yaml").read_text())
    given["train"]["epochs"] = 1
    given["compress"] = {"clustered": {"parent": "baseline", "method": "cluster", "clusters": 16, "epochs": 1}}
    models = {"fp32": "baseline", "int8": "baseline", "clustered-int8": "clustered"}
    schemes = {name: "float32" if name == "fp32" else "int8" for name in models}
    given["quantize"] = {name: {"model": model, "scheme": schemes[name]} for name, model in models.items()}
    settings = Params.model_validate(given)
    prepare(settings)
    train(settings)
    compress(settings, "clustered")
    for name in models:
        quantize(settings, name)
    plain, clustered = (made_in(paths.artifact(name)) for name in ("int8", "clustered-int8"))
    flash = [luts.packed(each).stat().st_size for each in (plain, clustered)]
    assert flash[0] == plain.card.bytes  # 256 values are no table
    assert flash[1] <= 0.6 * flash[0]


@pytest.mark.parametrize("values", [17, 200])
def test_weights_of_more_values_stay_as_they_are(artifact: Callable[..., Artifact], values: int) -> None:
    content, _ = dense(values)
    assert luts.compressed(content) is None
    assert luts.packed(artifact(content)).read_bytes() == content


def test_a_small_layer_is_smaller_as_it_is(golden: Path) -> None:
    for name in ("int8", "float32", "two", "tokens", "recurrent", "int16x8"):
        assert luts.compressed((golden / f"{name}.tflite").read_bytes()) is None


def test_a_file_whose_answers_differ_is_not_taken(
    artifact: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    content, _ = dense(16)
    other, _ = dense(15)
    wrong = luts.compressed(other)
    assert wrong
    monkeypatch.setattr(luts, "compressed", lambda _: wrong)
    assert luts.packed(artifact(content)).read_bytes() == content


def test_a_board_gets_the_tables_where_it_has_the_memory_for_what_is_decoded(
    artifact: Callable[..., Artifact], pair: Callable[[str, str], Request], tmp_path: Path
) -> None:
    board = pair("int8", "stm32h743")
    made = artifact(dense(16)[0])
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(2).random((4, WIDTH), np.float32))
    request = replace(board, artifact=made, inputs=tmp_path / "x.npz")
    with_tables = mcu_tflm.measure(request).measurement
    told = with_tables.details["look_up_tables"]
    assert told == {"bytes": with_tables.details["file_bytes"], "instead_of": made.path.stat().st_size}
    head = with_tables.details["arena_bytes"]["head"]
    assert head >= CLASSES * WIDTH, "all weights lie there once they are decoded"
    assert with_tables.status == "ok"
    device = devices.load("stm32h743")
    assert isinstance(device, Tflm)
    folder = tmp_path / "bundle"
    folder.mkdir()
    shipped = mcu_tflm.ships(made, device, folder)
    assert (folder / shipped.file).stat().st_size == told["bytes"], "what is measured is shipped"
    assert firmware.operators((folder / shipped.file).read_bytes()) == ("Decode", "FullyConnected")
    small = device.model_copy(update={"ram_kib": mcu_tflm.STACK_KIB + 4})
    plain = mcu_tflm.measure(replace(request, device=small)).measurement
    assert plain.status == "ok"
    assert "look_up_tables" not in plain.details
    assert plain.details["arena_bytes"]["total"] < 4096
    (tmp_path / "small").mkdir()
    other = mcu_tflm.ships(made, small, tmp_path / "small")
    assert (tmp_path / "small" / other.file).read_bytes() == made.path.read_bytes()
