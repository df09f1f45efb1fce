"""A processor of this machine through ONNX Runtime, which takes the artifact as tf2onnx converts it."""

import os
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tasks import paths
from tasks.bench import meters, reach, same_answers, shipping
from tasks.bench.device import Processor, too_few_cpus
from tasks.bench.kinds import Kind
from tasks.bench.request import Artifact
from tasks.bench.setup import Setup
from tasks.bench.transport import Session
from tasks.errors import UnsupportedError
from tasks.files import once
from tasks.formats import tflite
from tasks.process import told

RESOURCES = ("../runner/onnxruntime.py",)
USES = ("tf2onnx",)
OPSET = 18  # the newest that tf2onnx writes
EDITION = 3  # of what this module makes of tf2onnx's file: part of its name, as it is kept
TIMEOUT_S = 600
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}  # the latter keeps Keras 3 out of TensorFlow's import


class OnnxRuntime(Processor):
    """This machine's processor, which runs the artifact through ONNX Runtime, converted by tf2onnx."""


def setup(device: Processor, session: Session) -> Setup:
    """How the runtime is asked, here or elsewhere."""
    return Setup(
        session=session,
        runtime="onnxruntime",
        options={"threads": device.threads},
        energy=meters.HOST,
        watts_per_core=device.watts_per_core,
        model=convert,
        profiles=True,
        describe=True,
    )


def convert(artifact: Artifact) -> Path:
    """The artifact as an ONNX file, made once for each artifact and version of the converter.

    Raises:
        UnsupportedError: tf2onnx cannot convert it.
        DeviceError: the conversion did not end in time.
    """
    if "int4" in tflite.load(artifact.path).dtypes():
        raise UnsupportedError("it has weights of 4 bits, which tf2onnx does not read; a scheme of 8 bits runs here")
    name = f"{artifact.card.sha256}.tf2onnx-{version('tf2onnx')}.{EDITION}.onnx"
    path = paths.STATE / "converted" / name
    return once(path, partial(to_onnx, tflite.checked(artifact.path, "tf2onnx")))


def to_onnx(source: Path, file: Path) -> None:
    """Convert a `.tflite` file, in a process of its own: it imports TensorFlow, and LiteRT within may crash on a file.

    Raises:
        UnsupportedError, DeviceError: as `convert`.
    """
    command = [sys.executable, "-I", "-m", "tf2onnx.convert", "--tflite", str(source)]
    command += ["--output", str(file), "--opset", str(OPSET)]
    done = told(command, timeout_s=TIMEOUT_S, what=f"{source}: tf2onnx", environment=os.environ | QUIET)
    if done.code or not file.is_file():
        raise UnsupportedError(f"tf2onnx cannot convert it (code {done.code}): {done.last_words}")
    make_unsigned(file)
    separate_zero_points(file)


def make_unsigned(path: Path) -> None:
    """Let int8 activations be uint8, and their zero points 128 higher: the same numbers in another type.

    The fast kernels for x86 take uint8 activations with int8 weights. The runtime itself turns what lies between a
    quantization and a dequantization into uint8, and neither inputs nor outputs, so that layers beside those stay in
    float32 and have their weights dequantized in each inference. A file that mixes activations with integers that were
    never activations is left as it is.
    """
    import onnx
    from onnx import TensorProto, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    signed = {constant.name: constant for constant in graph.initializer if constant.data_type == TensorProto.INT8}
    ends = [end for end in [*graph.input, *graph.output] if end.type.tensor_type.elem_type == TensorProto.INT8]
    activations, never, moved = {end.name for end in ends if end in graph.input}, set(signed), {}
    for node in graph.node:  # in the order of their execution
        zero_point = signed.get(node.input[-1]) if node.input else None
        quantizes, dequantizes = (node.op_type == kind for kind in ("QuantizeLinear", "DequantizeLinear"))
        if zero_point and (quantizes or (dequantizes and node.input[0] in activations)):
            node.input[-1] = f"{zero_point.name}_unsigned"
            wide = numpy_helper.to_array(zero_point).astype(np.int16) + 128
            moved[node.input[-1]] = numpy_helper.from_array(wide.astype(np.uint8), node.input[-1])
        if quantizes and zero_point:
            activations.update(node.output)
        elif not dequantizes and activations.intersection(node.input):  # it moves them around
            if never.intersection(node.input):
                return
            activations.update(node.output)
        elif not dequantizes and never.intersection(node.input):  # it picks some: rows of an embedding
            never.update(node.output)
    if any(end.name not in activations for end in ends):
        return
    graph.initializer.extend(moved.values())
    for end in ends:
        end.type.tensor_type.elem_type = TensorProto.UINT8
    del graph.value_info[:]  # tells the old types
    onnx.save(model, path)


def separate_zero_points(path: Path) -> None:
    """Give each dequantized weight a zero point of its own, where several share one.

    Where the processor needs weights to be uint8 (x86 without VNNI) the runtime makes each one's zero point anew under
    the old name, and refuses the file at the second that has it.
    """
    import onnx

    model = onnx.load(path)
    constants = {constant.name: constant for constant in model.graph.initializer}
    weights = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and node.input[0] in constants]
    for i, node in enumerate(weights):
        if len(node.input) > 2:  # weight, scale, zero point
            own = onnx.TensorProto()
            own.CopyFrom(constants[node.input[2]])
            own.name = node.input[2] = f"{node.input[2]}_of_{i}"
            model.graph.initializer.append(own)
    onnx.save(model, path)


KIND = Kind(
    schema=OnnxRuntime,
    package="onnxruntime",
    usable=too_few_cpus,
    probe=reach.runner("onnxruntime"),
    measure=same_answers.measure,
    setup=setup,
    ships=shipping.processor,
    here=True,
    own_kernels=True,
    dense=True,
    schemes=("float32", "float16", "dynamic", "int8"),
)
