import csv
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import devices
from tasks.bench.kinds import ethos_u
from tasks.errors import UnsupportedError
from tasks.formats import cost, tflite

ROOT = Path(__file__).resolve().parents[3]


def one_operator(folder: Path, kind: str, shapes: list[tuple[int, ...]], constants: set[int], **options: Any) -> Path:
    """A file of one float32 operator: its inputs and, last, its output; no runtime would have to run it."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, subgraph, code = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT()
    model.buffers, subgraph.tensors = [schema.BufferT()], []
    for i, shape in enumerate(shapes):
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.shape, tensor.type = f"t{i}", np.array(shape, np.int32), schema.TensorType.FLOAT32
        if i in constants:
            buffer.data = np.zeros(4 * int(np.prod(shape)), np.uint8)
            tensor.buffer = len(model.buffers)
            model.buffers.append(buffer)
        subgraph.tensors.append(tensor)
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = (
        np.arange(len(shapes) - 1, dtype=np.int32),
        np.array([len(shapes) - 1], np.int32),
    )
    if options:
        name = options.pop("options")
        operator.builtinOptions = getattr(schema, f"{name}T")()
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        for key, value in options.items():
            setattr(operator.builtinOptions, key, value)
    subgraph.operators, subgraph.inputs, subgraph.outputs = [operator], operator.inputs[:1], operator.outputs
    model.operatorCodes, model.subgraphs, model.version = [code], [subgraph], 3
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = folder / "one.tflite"
    path.write_bytes(builder.Output())
    return path


@pytest.mark.parametrize("name", ["int8", "int16x8"])
def test_products_and_pools_are_those_that_the_ethos_u_compiler_counts(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(ROOT)
    ethos_u.vela(golden / f"{name}.tflite", devices.load("ethos-u55-128"), tmp_path)
    with (tmp_path / f"{name}_per-layer.csv").open(encoding="utf-8", newline="") as file:
        layers = list(csv.DictReader(file))
    counted = [int(layer["MAC Count"]) for layer in layers if layer["NNG Operator"] in ("Conv2D", "FullyConnected")]
    assert [operator.macs for operator in cost.read(golden / f"{name}.tflite") if operator.macs] == counted


@pytest.mark.parametrize(("name", "width", "weights"), [("float32", 4, 4), ("int8", 1, 1), ("int16x8", 2, 1)])
def test_bytes_are_elements_times_their_width(golden: Path, name: str, width: int, weights: int) -> None:
    convolution, reshape, dense = cost.read(golden / f"{name}.tflite")
    bias = {"float32": 4, "int8": 4, "int16x8": 8}[name]  # a number
    assert convolution.weight_bytes == 36 * weights + 4 * bias
    assert (convolution.input_bytes, convolution.output_bytes) == (64 * width, 144 * width)
    assert (reshape.input_bytes, reshape.output_bytes, reshape.operations) == (144 * width, 144 * width, 0)
    assert dense.weight_bytes - 576 * weights in (0, 4 * bias)  # a bias of zeros is dropped
    assert (dense.input_bytes, dense.output_bytes) == (144 * width, 4 * width)
    assert dense.dtype == {"float32": "float32", "int8": "int8", "int16x8": "int16"}[name]


def test_weights_that_are_widened_on_loading_count_as_stored(golden: Path) -> None:
    half, whole = (cost.read(golden / f"{name}.tflite") for name in ("float16", "float32"))
    assert [operator.kind for operator in half] == [operator.kind for operator in whole]
    assert [operator.weight_bytes for operator in half if operator.macs] == [
        operator.weight_bytes // 2 for operator in whole if operator.macs
    ]
    assert sum(operator.macs for operator in half) == sum(operator.macs for operator in whole) == 36 * 9 * 4 + 144 * 4


def test_a_look_up_reads_what_it_picks(golden: Path) -> None:
    pick, mean = cost.read(golden / "tokens.tflite")
    assert (pick.kind, pick.weight_bytes, pick.macs) == ("GATHER", 5 * 2 * 4, 0)  # of 7 rows
    assert mean.operations == 5 * 2


def test_a_convolution_by_depth_has_one_product_a_tap(tmp_path: Path) -> None:
    path = one_operator(tmp_path, "DEPTHWISE_CONV_2D", [(1, 6, 6, 4), (1, 3, 3, 8), (8,), (1, 4, 4, 8)], {1, 2})
    assert cost.read(path)[0].macs == sum(1 for _ in product(range(4), range(4), range(8), range(3), range(3)))


def test_groups_take_only_their_own_inputs(tmp_path: Path) -> None:
    path = one_operator(tmp_path, "CONV_2D", [(1, 4, 4, 8), (6, 3, 3, 4), (1, 2, 2, 6)], {1})  # two groups of 4
    assert cost.read(path)[0].macs == 2 * 2 * 6 * 3 * 3 * 4


def test_a_transposed_convolution_spreads_each_input_under_the_kernel(tmp_path: Path) -> None:
    path = one_operator(tmp_path, "TRANSPOSE_CONV", [(4,), (5, 3, 2, 7), (1, 4, 4, 7), (1, 9, 8, 5)], {0, 1})
    spread = product(range(4), range(4), range(7), range(5), range(3), range(2))
    assert cost.read(path)[0].macs == sum(1 for _ in spread)


@pytest.mark.parametrize(("adjoint", "left"), [(False, (2, 3, 5)), (True, (2, 5, 3))])
def test_a_matrix_product_sums_over_what_the_two_share(tmp_path: Path, adjoint: bool, left: tuple[int, ...]) -> None:
    path = one_operator(
        tmp_path, "BATCH_MATMUL", [left, (2, 5, 4), (2, 3, 4)], set(), options="BatchMatMulOptions", adjX=adjoint
    )
    a, b = np.ones(left), np.ones((2, 5, 4))
    products = np.swapaxes(a, 1, 2) @ b if adjoint else a @ b  # of ones: each sum is its number of products
    (found,) = cost.read(path)
    assert found.macs == products.sum()
    assert found.weight_bytes == 0
    assert found.input_bytes == 4 * (a.size + b.size)


def test_a_pool_reads_its_window_for_each_output(tmp_path: Path) -> None:
    path = one_operator(
        tmp_path,
        "MAX_POOL_2D",
        [(1, 8, 8, 3), (1, 3, 4, 3)],
        set(),
        options="Pool2DOptions",
        filterHeight=3,
        filterWidth=2,
    )
    (found,) = cost.read(path)
    assert (found.macs, found.operations) == (0, 3 * 4 * 3 * 6)


def test_what_cannot_be_counted_is_named(golden: Path) -> None:
    with pytest.raises(UnsupportedError, match="CUSTOM"):
        cost.read(golden / "custom.tflite")


@pytest.mark.parametrize("given", [(-1, -1, -1, 3), (1, 8, -1, 3)])
def test_nothing_is_counted_of_inputs_of_any_size(tmp_path: Path, given: tuple[int, ...]) -> None:
    """Such a file has the numbers for inputs of 1 by 1 in it, whatever it is given."""
    path = one_operator(tmp_path, "CONV_2D", [(1, 8, 1, 3), (6, 3, 3, 3), (1, 8, 1, 6)], {1})
    model = tflite.objects(path.read_bytes())
    for shape, refused in ((given, True), ((-1, 8, 1, 3), False)):
        model.subgraphs[0].tensors[0].shapeSignature = np.array(shape, np.int32)
        path.write_bytes(tflite.pack(model))
        if refused:
            with pytest.raises(
                UnsupportedError, match=r"its input 't0' may have any size, \[.*\], .*convert the model"
            ):
                cost.read(path)
    assert cost.read(path)[0].macs == 8 * 6 * 27, "each example has the same size in a batch of any"


def test_a_part_that_is_written_moves_alone(tmp_path: Path) -> None:
    path = one_operator(tmp_path, "DYNAMIC_UPDATE_SLICE", [(1, 12, 4), (1, 1, 4), (3,), (1, 12, 4)], set())
    (found,) = cost.read(path)
    assert (found.input_bytes, found.output_bytes) == (4 * (4 + 3), 4 * 4)
