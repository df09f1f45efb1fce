"""Keras models to LiteRT files (.tflite) at one numeric scheme."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import files
from tasks.errors import ConversionError, TercetError
from tasks.formats import tflite
from tasks.formats.schemes import SCHEMES
from tasks.quantize import clusters, layers
from tasks.quantize.made import Made
from tasks.records import Tensor
from tasks.scratch import scratch

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras

    from tasks.examples import Arrays
    from tasks.params import Quantize
    from tasks.quality.score import Exam

INSTEAD = {  # of operators that the runtime lacks: what to build where layers of Keras come to one
    "Erfc": "exact GELU is one operator there unless something else halves its input, as GELU by tanh does: use one "
    "kind of the two for a tensor",
    "SparseTensorDenseMatMul": "build LocallyConnected layers with implementation 1 or 2",
}


@dataclass(frozen=True)
class Graph:
    """What a LiteRT file holds."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]


def converter() -> str:
    """Name and version, for the cards of artifacts."""
    return f"tensorflow {version('tensorflow')}"


def make(
    model: "tf_keras.Model",
    entry: "Quantize",
    calibration: "Arrays",
    validation: "Exam | None" = None,  # noqa: ARG001 - of every converter
) -> Made:
    """Convert a Keras model as `entry` says, all layers alike.

    Raises:
        ConversionError: as `convert`.
    """
    content = convert(model, entry.scheme, calibration, sparse=entry.sparse)
    return Made(clusters.alike(content, clusters.shared(model)), converter())


def convert(model: "tf_keras.Model", scheme: str, calibration: "Arrays | None", *, sparse: bool = False) -> bytes:
    """Convert `model`, at batch 1, to the bytes of a LiteRT file.

    Args:
        model: a Keras model; after quantization-aware training its ranges are those it was trained with.
        scheme: float32, float16 (weights), dynamic (int8 weights), int8 (integer throughout, inputs and outputs
            too) or int16x8 (int16 activations, int8 weights).
        calibration: model-ready examples that set the ranges of the activations for int8 and int16x8, and for no
            other scheme.
        sparse: float32: store the zeros of weights that have many of them by their places alone.

    Raises:
        ConversionError: the converter refuses, an operator of an integer variant stays float, or no weight has
            zeros enough to be stored sparse.
    """
    one, static = batch_of_one(model), SCHEMES.load(scheme).static
    if static and _looping(model):  # a loop crashes the converter's calibration, and this process with it
        refuse_loops(model, convert(model, "float32", None), scheme)
    content = converted(partial(_converter, one), scheme, calibration, sparse=sparse)
    if static:
        operators = layers.read(content, layers.names(model), tuple(model.output_names), model.name)
        layers.refuse_floats([operator for operator in operators if operator.floats], scheme)
    if sparse and not _sparse_tensors(content):
        raise ConversionError(
            f"scheme {scheme}, sparse: no weight of the model has zeros enough to be stored sparse; prune the model "
            "first, or leave out sparse"
        )
    return content


def converted(
    build: "Callable[[Path], tf.lite.TFLiteConverter]",
    scheme: str,
    calibration: "Arrays | None" = None,
    *,
    sparse: bool = False,
) -> bytes:
    """What TensorFlow's converter makes at a scheme.

    Args:
        build: gives a converter, and may write into a folder what that reads.
        scheme: see `convert`, and what else is given.
        calibration: see there.
        sparse: see there.

    Raises:
        ConversionError: the converter refuses.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    with _quiet(), scratch("converter") as folder:
        try:
            converter = build(folder)
            _set(converter, scheme, calibration, sparse=sparse)
            content: bytes = converter.convert()
        except (ConverterError, OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
            if full := files.no_space(error):  # it may pass, and a refusal does not
                raise TercetError(f"scheme {scheme}: {full}") from None
            raise ConversionError(f"scheme {scheme}: the converter refused: {_reason(str(error))}") from None
    return content


def _converter(model: "tf_keras.Model", folder: Path) -> Any:
    """TensorFlow's converter, of a SavedModel in `folder` that has the answers of `model` and nothing else.

    Its own way to a Keras model saves a function for every layer too, which takes two to five times as long. The file
    comes out the same, but for the byte that says where it is from. That way stays for what this one cannot save:
    names that no SavedModel takes, and layers that hold more than variables.
    """
    import tensorflow as tf

    specs = [tf.TensorSpec(x.shape, x.dtype, name) for name, x in zip(model.input_names, model.inputs, strict=True)]

    @tf.function(input_signature=specs)  # type: ignore[untyped-decorator]
    def answer(*arrays: "tf.Tensor") -> dict[str, "tf.Tensor"]:
        answers = tf.nest.flatten(model(list(arrays) if len(arrays) > 1 else arrays[0], training=False))
        return dict(zip(model.output_names, answers, strict=True))

    saved = tf.Module()
    saved.kept = model.variables
    try:
        tf.saved_model.save(saved, str(folder), signatures=answer)
    except (AssertionError, ValueError):
        return tf.lite.TFLiteConverter.from_keras_model(model)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder))


def _set(converter: Any, scheme: str, calibration: "Arrays | None", *, sparse: bool) -> None:
    """Ask a converter for a scheme."""
    import tensorflow as tf

    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if sparse:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if SCHEMES.load(scheme).static:
        assert calibration is not None
        converter.representative_dataset = lambda: _one_by_one(calibration)
        operators, kind = {
            "int8": (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8),
            "int16x8": (tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8, tf.int16),
        }[scheme]
        converter.target_spec.supported_ops = [operators]
        converter.inference_input_type = converter.inference_output_type = kind


def inspect(content: bytes) -> Graph:
    """Read the inputs, outputs and operators of a LiteRT file's main graph, by its schema alone."""
    file = tflite.parse(content)
    graph, (inputs, outputs) = file.main, file.names()
    return Graph(
        inputs=tuple(tensor(graph.tensors[i], name) for i, name in zip(graph.inputs, inputs, strict=True)),
        outputs=tuple(tensor(graph.tensors[i], name) for i, name in zip(graph.outputs, outputs, strict=True)),
        operators=dict(sorted(Counter(operator.kind for operator in graph.operators).items())),
    )


def refuse_loops(model: "tf_keras.Model", content: bytes, scheme: str) -> None:
    """Refuse a model that became a loop, for a scheme of integers.

    Args:
        model: a Keras model.
        content: what it was converted to at float32.
        scheme: what it is to be converted to.

    Raises:
        ConversionError: there is a loop.
    """
    if "WHILE" in inspect(content).operators:
        raise ConversionError(
            f"scheme {scheme}: the model has a loop, which there are no integers for: {', '.join(_looping(model))}; "
            "use scheme dynamic, or a layer that is unrolled"
        )


def _looping(model: "tf_keras.Model") -> list[str]:
    """The layers that may become a loop: recurrent ones, and those that run somebody's own code."""
    import tf_keras as keras

    known = ("tf_keras.", "tensorflow_model_optimization.")
    return [
        f"{layer.name} ({type(layer).__name__})"
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.RNN | keras.layers.Lambda)
        or (isinstance(layer, keras.layers.Layer) and not type(layer).__module__.startswith(known))
    ]


def _sparse_tensors(content: bytes) -> int:
    return sum(tensor.sparse for tensor in tflite.parse(content).main.tensors)


def _reason(said: str) -> str:
    """What the converter complains of, out of the pages that it says."""
    operators = re.findall(r"^(?:TF Select|Custom) ops: (.+)$", said, re.MULTILINE)
    if operators:
        ways = [f"; {way}" for name, way in INSTEAD.items() if any(name in said.split(", ") for said in operators)]
        return f"the runtime has no operator {', '.join(dict.fromkeys(operators))}{''.join(ways)}"
    if wide := re.search(r"16x8-bit not yet supported for op: '(\w+)'", said):
        return f"there is no int16x8 of {wide[1]}; use scheme int8 or dynamic, or a model without that operator"
    if unranged := re.search(r"Max and min for dynamic tensors should be recorded.*Failed for tensor (\S+)", said):
        return (
            f"there are no integers of what compares the whole numbers {unranged[1]}, as a mask does (mask_zero of an "
            "Embedding); use scheme dynamic, or a model without it"
        )
    return next((line.strip() for line in said.splitlines() if line.strip()), "it did not say why")


def batch_of_one(model: "tf_keras.Model") -> "tf_keras.Model":
    """The same model with a batch axis of 1: a free one leaves shape arithmetic in the graph, which NPUs refuse.

    Several outputs keep their names; a single one is called like the model.

    Raises:
        ConversionError: another axis of an input is open, or a layer keeps state from batch to batch.
    """
    import tensorflow as tf
    import tf_keras as keras

    recurrent = [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, keras.layers.RNN)]
    if keeping := [layer.name for layer in recurrent if layer.stateful]:
        raise ConversionError(
            f"{', '.join(keeping)}: stateful, so an answer hangs from the examples before it, and here each stands by "
            "itself; build the model with stateful=False"
        )
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        if None in tensor.shape[1:]:
            raise ConversionError(f"input {name!r} has the shape {tensor.shape}; only the first axis may be open")
    inputs = [
        keras.Input(batch_shape=(1, *tensor.shape[1:]), dtype=tensor.dtype, name=name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    ]
    outputs = tf.nest.flatten(model(inputs if len(inputs) > 1 else inputs[0]))
    if len(outputs) > 1:  # the converter calls an output as the layer that it comes from
        named = zip(model.output_names, outputs, strict=True)
        outputs = [keras.layers.Activation("linear", name=name)(tensor) for name, tensor in named]
    return keras.Model(inputs, dict(zip(model.output_names, outputs, strict=True)))


def _one_by_one(examples: "Arrays") -> Iterator[dict[str, "np.ndarray[Any, Any]"]]:
    for i in range(len(examples)):
        yield {name: array[i : i + 1] for name, array in examples.inputs.items()}


def tensor(found: tflite.Tensor, name: str) -> Tensor:
    """A tensor of a file as a card has it, by the name that it is called by."""
    scaled = len(found.scales) == 1
    return Tensor(
        name=name,
        shape=found.shape[1:],
        dtype=found.dtype,
        scale=found.scales[0] if scaled else None,
        zero_point=found.zero_points[0] if scaled else None,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # the ranges come from calibration or from training, not from the converter's old-style statistics
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        # the converter itself calibrates with it
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")
        yield
