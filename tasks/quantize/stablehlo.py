"""Keras models to StableHLO, which PJRT runs on processors, GPUs and TPUs: the same network at batch 1, in floats."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.errors import ConversionError
from tasks.formats.schemes import SCHEMES
from tasks.quantize.litert import batch_of_one

if TYPE_CHECKING:
    import tf_keras
    from jaxlib.mlir import ir

    from tasks.quantize.litert import Graph

FILE = "model.stablehlo"
VERSION = "1.0.0"  # of StableHLO: its readers take all that is older than themselves, for five years
PASSES = "builtin.module(inline,symbol-dce,strip-debuginfo)"
LARGEST_HALF = 65504.0


def convert(model: "tf_keras.Model", scheme: str, graph: "Graph") -> bytes:
    """Convert `model`, at batch 1, to a portable artifact of StableHLO; the same weights give the same bytes.

    Args:
        model: a Keras model.
        scheme: float32, or float16: weights, activations and arithmetic; inputs and outputs stay float32.
        graph: what the LiteRT file of the same variant holds. Arguments and results come in its order.

    Raises:
        ConversionError: the scheme has no StableHLO, or an operator, or a weight too large for float16.
    """
    numbers = SCHEMES.load(scheme).stablehlo
    if numbers is None:
        able = " and ".join(name for name in SCHEMES if SCHEMES.load(name).stablehlo)
        raise ConversionError(f"scheme {scheme} has no StableHLO; {able} have")
    content, weights = _module(batch_of_one(_half(model) if numbers == "float16" else model), graph)
    return portable(content, partial(_embed, weights=weights))


def _half(model: "tf_keras.Model") -> "tf_keras.Model":
    """The same model with float16 for float32 in every layer, except where a layer itself computes in float32."""
    try:
        half = model.__class__.from_config(_halved(model.get_config()))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ConversionError(f"scheme float16: the model cannot be built in it: {first_line(error)}") from None
    weights = model.get_weights()
    for variable, weight in zip(half.weights, weights, strict=True):
        if variable.dtype == "float16" and np.abs(weight).max(initial=0) > LARGEST_HALF:
            raise ConversionError(f"scheme float16: {variable.name} is beyond {LARGEST_HALF:g}, where float16 ends")
    half.set_weights(weights)
    return half


def _halved(config: Any) -> Any:
    """A Keras configuration, of whatever depth, with every `dtype` of float32 made float16."""
    if isinstance(config, dict):
        return {
            key: "float16" if key == "dtype" and value == "float32" else _halved(value) for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_halved(value) for value in config)
    return config


def _module(model: "tf_keras.Model", graph: "Graph") -> tuple[bytes, list[Any]]:
    """TensorFlow's bytecode of StableHLO, whose last arguments are the weights, and the weights."""
    import tensorflow as tf

    names = [tensor.name for tensor in graph.inputs], [tensor.name for tensor in graph.outputs]
    if sorted(names[0]) != sorted(model.input_names) or sorted(names[1]) != sorted(model.output_names):
        raise ConversionError(f"no StableHLO: {names} are not the model's {model.input_names}, {model.output_names}")
    taken = dict(zip(model.input_names, model.inputs, strict=True))

    def infer(*arrays: "tf.Tensor") -> list["tf.Tensor"]:
        given = dict(zip(names[0], arrays, strict=True))
        cast = [tf.cast(given[name], tensor.dtype) for name, tensor in taken.items()]
        answers = tf.nest.flatten(model(cast if len(cast) > 1 else cast[0], training=False))
        found = dict(zip(model.output_names, answers, strict=True))
        return [tf.cast(found[name], _outside(found[name].dtype)) for name in names[1]]

    specs = [tf.TensorSpec(taken[name].shape, _outside(taken[name].dtype)) for name in names[0]]
    function = tf.function(infer, autograph=False, jit_compile=True)
    try:
        traced = function.get_concrete_function(*specs)
        content: bytes = function.experimental_get_compiler_ir(*specs)(stage="stablehlo_serialized")
        variables = {id(variable.handle): variable for variable in model.variables}
        weights: list[Any] = [np.asarray(variables.get(id(kept), kept).numpy()) for kept in traced.captured_inputs]
    except (tf.errors.OpError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ConversionError(f"no StableHLO: the converter refused: {first_line(error)}") from None
    return content, weights


def _outside(dtype: Any) -> Any:
    """The type of an input or output whose type within the model this is."""
    import tensorflow as tf

    return tf.float32 if dtype.is_floating else dtype


def portable(content: bytes, change: "Callable[[ir.Module], None]") -> bytes:
    """A changed module's portable artifact, without what hangs from names and places in our code.

    Raises:
        ConversionError: an operator is none of StableHLO's.
    """
    from jaxlib.mlir import ir, passmanager
    from jaxlib.mlir._mlir_libs import _jax_mlir_ext
    from jaxlib.mlir.dialects import stablehlo

    known = ir.DialectRegistry()
    _jax_mlir_ext.register_dialects(known)
    with ir.Context() as context, ir.Location.unknown():
        context.append_dialect_registry(known)
        context.load_all_available_dialects()
        stablehlo.register_dialect(context)
        try:
            module = ir.Module.parse(content)
            change(module)
            module.operation.walk(_strip)
            del module.operation.attributes["sym_name"]  # it counts the functions that TensorFlow has traced
            passmanager.PassManager.parse(PASSES).run(module.operation)
            artifact: bytes = stablehlo.serialize_portable_artifact(module, VERSION)
        except (ir.MLIRError, ValueError) as error:
            raise ConversionError(f"no StableHLO: {first_line(error)}") from None
    return artifact


def _embed(module: "ir.Module", weights: list[Any]) -> None:
    """Make constants of a module's last arguments."""
    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    main = main_of(module)
    block = main.regions[0].blocks[0]
    first = len(block.arguments) - len(weights)
    constants = [ir.DenseElementsAttr.get(weight) for weight in weights]
    if [argument.type for argument in block.arguments][first:] != [constant.type for constant in constants]:
        raise ConversionError("no StableHLO: the module's last arguments are not the model's weights")
    with ir.InsertionPoint.at_block_begin(block):
        for argument, constant in zip(list(block.arguments)[first:], constants, strict=True):
            argument.replace_all_uses_with(stablehlo.constant(constant))
    for _ in weights:
        block.erase_argument(first)
    kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
    main.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(kind.inputs[:first], kind.results))


def main_of(module: "ir.Module") -> Any:
    """The function that a program runs."""
    from jaxlib.mlir import ir

    return next(function for function in module.body if ir.StringAttr(function.attributes["sym_name"]).value == "main")


def _strip(operation: "ir.Operation") -> "ir.WalkResult":
    """Drop what XLA's own dialect notes beside the operations."""
    from jaxlib.mlir import ir

    for name in [name for name in operation.attributes if name.startswith("mhlo.")]:
        del operation.attributes[name]
    return ir.WalkResult.ADVANCE


def first_line(error: Exception) -> str:
    """The first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
