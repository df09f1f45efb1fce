from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.bench import devices, same_answers
from tasks.bench.kinds import onnxruntime
from tasks.bench.request import Artifact, Questions, Request
from tasks.bench.setup import Setup
from tasks.bench.transport import Local
from tasks.errors import DeviceError, UnsupportedError
from tasks.params import Protocol
from tasks.process import Told

Described = Callable[[str], Artifact]
Predict = Callable[..., dict[str, np.ndarray]]


@pytest.fixture
def setup(workshop: Path, no_converter: None) -> Setup:
    return onnxruntime.setup(devices.load("host-cpu-onnxruntime"), Local())


@pytest.mark.parametrize(("name", "tolerance"), [("float32", 1e-4), ("float16", 1e-4), ("int8", 0.0045)])
def test_outputs_are_those_of_litert(
    predict: Predict, by_litert: Callable[[str, np.ndarray], np.ndarray], name: str, tolerance: float
) -> None:
    # some are past both ends of the calibrated range
    images = np.random.default_rng(3).random((200, 8, 8, 1), np.float32) * 1.2 - 0.1
    (ours,), theirs = predict(name, {"image": images}).values(), by_litert(name, images)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=tolerance)  # int8: one step of its output
    np.testing.assert_array_equal(ours.argmax(1), theirs.argmax(1))


def test_integers_that_are_no_quantities_stay_integers(predict: Predict) -> None:
    tokens = np.array([[1, 1, 1, 1, 1], [2, 2, 2, 2, 2], [1, 2, 1, 2, 2]], np.int64)
    (averages,) = predict("tokens", {"tokens": tokens}).values()
    np.testing.assert_allclose(averages[2], 0.4 * averages[0] + 0.6 * averages[1], rtol=1e-5)


@pytest.mark.parametrize(("name", "operator"), [("int16x8", "DequantizeLinear"), ("custom", "TFL_Igamma")])
def test_what_it_refuses_names_the_operator_in_one_line(
    predict: Predict, images: np.ndarray, name: str, operator: str
) -> None:
    inputs = {"image": images} if name != "custom" else {"x": np.ones((1, 3), np.float32)}
    with pytest.raises(UnsupportedError, match=operator) as caught:
        predict(name, inputs)
    assert "\n" not in str(caught.value)
    assert ".onnx" not in str(caught.value)


def test_int8_runs_in_integers_from_end_to_end(
    setup: Setup, described: Described, images: np.ndarray, tmp_path: Path
) -> None:
    np.savez(tmp_path / "given.npz", image=images)
    artifact = described("int8")
    files = {"model": setup.model(artifact), "inputs": tmp_path / "given.npz"}
    operators = setup.session.run(setup.ask("profile", artifact), files, {}, timeout_s=60).operators
    kinds = [operator.kind for operator in operators]
    assert "QLinearConv" in kinds
    assert not {"QuantizeLinear", "DequantizeLinear", "Conv"} & set(kinds)
    assert {operator.ran_on for operator in operators} == {"CPUExecutionProvider"}
    assert all(0 <= (operator.ms or 0) < 1000 for operator in operators)
    assert len({operator.name for operator in operators}) == len(operators)


def test_a_pair_is_measured_checked_and_answers_with_its_own_kernels(
    setup: Setup, described: Described, images: np.ndarray, tmp_path: Path, crowded: None
) -> None:
    np.savez(tmp_path / "inputs.npz", image=images)
    device, quick = devices.load("host-cpu-onnxruntime"), Protocol(mode="quick", windows=1, window_s=0.02)
    inputs = tmp_path / "inputs.npz"
    request = Request(described("int8"), described("float32"), device, quick, inputs, {"test": Questions(inputs)})
    result = same_answers.measure(request)
    assert result.measurement.status == "ok"
    assert list(result.samples) == ["00-float32", "01-int8"]
    assert result.measurement.environment["runtime"].startswith("onnxruntime 1.")
    assert result.measurement.operators
    assert result.kept["test"].values.shape == (6, 4)


def test_what_computes_something_else_is_refused_by_name(
    setup: Setup, described: Described, images: np.ndarray, tmp_path: Path
) -> None:
    np.savez(tmp_path / "inputs.npz", image=images)
    artifact = described("int8")
    (output,) = artifact.card.outputs
    wrong = replace(
        artifact, card=artifact.card.model_copy(update={"outputs": (output.model_copy(update={"zero_point": 0}),)})
    )
    device = devices.load("host-cpu-onnxruntime")
    request = Request(artifact, artifact, device, Protocol(mode="quick"), tmp_path / "inputs.npz")
    same_answers.check(request, setup)
    with pytest.raises(UnsupportedError, match="int8: onnxruntime does not compute what the file says: outputs of 6"):
        same_answers.check(replace(request, artifact=wrong), setup)


@pytest.mark.slow
def test_a_conversion_is_made_once_and_computes_what_the_artifact_does(
    workshop: Path, described: Described, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    np.savez(tmp_path / "inputs.npz", image=images)
    artifact, device = described("int8"), devices.load("host-cpu-onnxruntime")
    path = onnxruntime.convert(artifact)
    graph = onnx.load(path).graph
    ends = [*graph.input, *graph.output]
    assert {end.type.tensor_type.elem_type for end in ends} == {onnx.TensorProto.UINT8}
    monkeypatch.setattr(onnxruntime, "to_onnx", lambda *_: pytest.fail("it was converted before"))
    assert onnxruntime.convert(artifact) == path
    request = Request(artifact, artifact, device, Protocol(mode="quick"), tmp_path / "inputs.npz")
    same_answers.check(request, onnxruntime.setup(device, Local()))


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside activations"])
def test_integers_that_were_never_activations_keep_their_type(tmp_path: Path, beside: bool) -> None:
    """As an embedding's rows, which a table's numbers are set beside."""
    import onnxruntime as runtime
    from onnx import TensorProto, helper, load, save

    table = helper.make_tensor("table", TensorProto.INT8, [2, 1], [-5, 7])
    rows = helper.make_tensor_value_info("rows", TensorProto.INT32, [1])
    given = helper.make_tensor_value_info("given", TensorProto.INT8, [1, 1])
    found = helper.make_tensor_value_info("found", TensorProto.INT8, [1, 2 if beside else 1])
    nodes = [helper.make_node("Gather", ["table", "rows"], ["picked" if beside else "found"])]
    if beside:
        nodes.append(helper.make_node("Concat", ["given", "picked"], ["found"], axis=1))
    graph = helper.make_graph(nodes, "lookup", [rows, given] if beside else [rows], [found], [table])
    path = tmp_path / "lookup.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    onnxruntime.make_unsigned(path)
    assert load(path).graph == graph
    values = {"rows": np.array([1], np.int32), "given": np.array([[3]], np.int8)}
    session = runtime.InferenceSession(path)
    (answer,) = session.run(None, {each.name: values[each.name] for each in session.get_inputs()})
    assert answer.ravel().tolist() == ([3, 7] if beside else [7])


def test_what_the_converter_cannot_read_is_told_before_it_is_asked(
    workshop: Path, described: Described, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = described("int8")
    monkeypatch.setattr(onnxruntime.tflite, "load", lambda _: SimpleNamespace(dtypes=lambda: {"int4", "float32"}))
    with pytest.raises(UnsupportedError, match="weights of 4 bits, which tf2onnx does not read; a scheme of 8 bits"):
        onnxruntime.convert(artifact)


def test_each_weight_has_a_zero_point_of_its_own(tmp_path: Path) -> None:
    """Or the runtime refuses the file where it makes the weights uint8: on x86 without VNNI."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = [
        helper.make_tensor("a", TensorProto.INT8, [2], [1, -2]),
        helper.make_tensor("b", TensorProto.INT8, [2], [3, 4]),
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.5]),
        helper.make_tensor("zero", TensorProto.INT8, [], [7]),
    ]
    nodes = [helper.make_node("DequantizeLinear", [name, "scale", "zero"], [f"{name}_real"]) for name in "ab"]
    found = [helper.make_tensor_value_info(f"{name}_real", TensorProto.FLOAT, [2]) for name in "ab"]
    path = tmp_path / "shared.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "shared", [], found, constants)), path)
    onnxruntime.separate_zero_points(path)
    graph = onnx.load(path).graph
    names = [node.input[2] for node in graph.node]
    assert len(set(names)) == 2
    values = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    assert [values[name] for name in names] == [7, 7]


def test_a_conversion_that_fails_or_hangs_is_named_and_leaves_nothing(
    workshop: Path, described: Described, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = Told(-11, "", "INFO\nValueError: no such node")
    refused = pytest.raises(UnsupportedError, match=r"tf2onnx cannot convert it \(code -11\): ValueError: no such node")
    with monkeypatch.context() as patch, refused:
        patch.setattr(onnxruntime, "told", lambda *_, **__: crash)
        onnxruntime.convert(described("float32"))
    monkeypatch.setattr(onnxruntime, "TIMEOUT_S", 0.01)
    with pytest.raises(DeviceError, match=r"tf2onnx did not end within 0\.01 s"):
        onnxruntime.convert(described("float32"))
    assert not list((workshop / ".tercet" / "converted").glob("[!.]*"))
