"""Keras models to LiteRT files (.tflite) at one numeric scheme."""

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.errors import ConversionError
from tasks.records import Tensor

if TYPE_CHECKING:
    import numpy as np
    import tf_keras

    from tasks.dataset import Examples

INTEGER_SCHEMES = ("int8", "int16x8")


@dataclass(frozen=True)
class Graph:
    """What a LiteRT file holds."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]
    float_operators: tuple[str, ...]  # that read or write a float32 tensor


def convert(model: "tf_keras.Model", scheme: str, calibration: "Examples") -> bytes:
    """Convert `model`, at batch 1, to the bytes of a LiteRT file.

    Args:
        model: a Keras model; after quantization-aware training its ranges are those it was trained with.
        scheme: float32, float16 (weights), dynamic (int8 weights), int8 (integer throughout, inputs and outputs
            too) or int16x8 (int16 activations, int8 weights).
        calibration: model-ready examples that set the ranges of the activations for int8 and int16x8.

    Raises:
        ConversionError: the converter refuses, or an operator of an integer variant stays float.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    converter = tf.lite.TFLiteConverter.from_keras_model(batch_of_one(model))
    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if scheme in INTEGER_SCHEMES:
        converter.representative_dataset = lambda: _one_by_one(calibration)
        operators, kind = {
            "int8": (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8),
            "int16x8": (tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16),
        }[scheme]
        converter.target_spec.supported_ops = [operators]
        converter.inference_input_type = converter.inference_output_type = kind
    with _quiet():
        try:
            content: bytes = converter.convert()
        except (ConverterError, RuntimeError, ValueError) as error:
            raise ConversionError(f"scheme {scheme}: the converter refused: {_reason(str(error))}") from None
    if scheme in INTEGER_SCHEMES and (kept := inspect(content).float_operators):
        raise ConversionError(
            f"scheme {scheme}: {', '.join(kept)} stayed float32, so the variant would not run on an integer device; "
            "use scheme dynamic, or a model without that operator"
        )
    return content


def inspect(content: bytes) -> Graph:
    """Read the inputs, outputs and operators of a LiteRT file's main graph, by its schema alone."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    builtin = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    dtypes = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    operators: Counter[str] = Counter()
    in_float: list[str] = []
    for operator in graph.operators:
        name = builtin[codes[operator.opcodeIndex]]
        operators[name] += 1
        touched = [graph.tensors[i] for i in [*operator.inputs, *operator.outputs] if i >= 0]
        if any(tensor.type == schema.TensorType.FLOAT32 for tensor in touched):
            in_float.append(f"{name} ({graph.tensors[operator.outputs[0]].name.decode()})")
    names = _signature_names(model)
    return Graph(
        inputs=tuple(_tensor(graph.tensors[i], names.get(i), dtypes) for i in graph.inputs),
        outputs=tuple(_tensor(graph.tensors[i], names.get(i), dtypes) for i in graph.outputs),
        operators=dict(sorted(operators.items())),
        float_operators=tuple(in_float),
    )


def _reason(said: str) -> str:
    """What the converter complains of, out of the pages that it says."""
    operators = re.findall(r"^(?:TF Select|Custom) ops: (.+)$", said, re.MULTILINE)
    if operators:
        return f"the runtime has no operator {', '.join(dict.fromkeys(operators))}"
    return next((line.strip() for line in said.splitlines() if line.strip()), "it did not say why")


def batch_of_one(model: "tf_keras.Model") -> "tf_keras.Model":
    """The same model with a batch axis of 1: a free one leaves shape arithmetic in the graph, which NPUs refuse."""
    import tf_keras as keras

    inputs = [
        keras.Input(batch_shape=(1, *tensor.shape[1:]), dtype=tensor.dtype, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    outputs = model(inputs if len(inputs) > 1 else inputs[0])
    flat = outputs if isinstance(outputs, list | tuple) else [outputs]
    return keras.Model(inputs, dict(zip(model.output_names, flat, strict=True)))


def _one_by_one(examples: "Examples") -> Iterator[dict[str, "np.ndarray[Any, Any]"]]:
    for i in range(len(examples)):
        yield {name: array[i : i + 1] for name, array in examples.inputs.items()}


def _tensor(tensor: Any, name: str | None, dtypes: dict[int, str]) -> Tensor:
    quantization = tensor.quantization
    scaled = quantization is not None and quantization.scale is not None and len(quantization.scale) == 1
    return Tensor(
        name=name or tensor.name.decode(),
        shape=tuple(int(size) for size in tensor.shape[1:]),
        dtype=dtypes[tensor.type],
        scale=float(quantization.scale[0]) if scaled else None,
        zero_point=int(quantization.zeroPoint[0]) if scaled else None,
    )


def _signature_names(model: Any) -> dict[int, str]:
    if not model.signatureDefs:
        return {}
    signature = model.signatureDefs[0]
    return {entry.tensorIndex: entry.name.decode() for entry in [*signature.inputs, *signature.outputs]}


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # the ranges come from calibration or from training, not from the converter's old-style statistics
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        # the converter itself calibrates with it
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        yield
