"""Node data for Model Explorer: its nodes are found by the names of the tensors that they put out."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import paths
from tasks.params import Params
from tasks.records import Measurement, Operator
from tasks.report import explorer
from tasks.stages import report


def told(golden: Path) -> list[tuple[str, str]]:
    """Kind and first output of each operator, as another reader of the file has them."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # without a delegate, which would stand in the operators' place
    interpreter = Interpreter(str(golden / "int8.tflite"), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    names = {each["index"]: each["name"] for each in interpreter.get_tensor_details()}
    return [(each["op_name"], names[each["outputs"][0]]) for each in interpreter._get_ops_details()]


def measured(make: SimpleNamespace, device: str, times: dict[str, float | None]) -> Measurement:
    operators = tuple(Operator(name=name, kind="any", ran_on=None, ms=ms) for name, ms in times.items())
    found: Measurement = make.measurement("int8", device, operators=operators)
    return found


def test_nodes_are_named_as_the_file_names_what_they_put_out(golden: Path, make: SimpleNamespace) -> None:
    names = [name for _, name in told(golden)]
    times = {name: 0.5 + i for i, name in enumerate(names)}
    devices = [
        measured(make, "roofline", dict(times)),
        measured(make, "its-own", {"fused": 1.0}),
        measured(make, "silent", dict.fromkeys(names)),
        measured(make, "away", dict(times)).model_copy(update={"status": "invalid", "reason": "busy"}),
    ]
    found = explorer.node_data(golden / "int8.tflite", devices)
    assert list(found) == ["macs", "weight_bytes", "ms@roofline"]
    for data in found.values():
        assert list(data) == ["main"]
        assert list(data["main"]["results"]) == names
        assert [each["stop"] for each in data["main"]["gradient"]] == [0, 1]
    assert {name: node["value"] for name, node in found["ms@roofline"]["main"]["results"].items()} == times
    working = {kind for kind, name in told(golden) if found["macs"]["main"]["results"][name]["value"]}
    assert working <= {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    assert working


@pytest.mark.parametrize("content", [None, b"", b"TFL3" * 9])
def test_of_a_file_that_cannot_be_read_there_is_nothing(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "model.tflite"
    if content is not None:
        file.write_bytes(content)
    assert explorer.node_data(file, []) == {}


def test_the_report_has_them_by_variant(study: Path, params: Params, golden: Path) -> None:
    (paths.artifact("int8") / "model.tflite").write_bytes((golden / "int8.tflite").read_bytes())
    report.report(params)
    folder = paths.REPORT / "explorer"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json")) == [
        "int8/macs.json",
        "int8/weight_bytes.json",
    ]
    assert json.loads((folder / "int8/macs.json").read_text())["main"]["name"] == "MACs"
