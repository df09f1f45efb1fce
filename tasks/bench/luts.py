"""Look-up tables in place of weights that have few values, which TensorFlow Lite Micro decodes while it runs.

A clustered layer has 16 values in each channel or fewer, so each weight is an index of 4 bits or fewer into a table. It
takes less flash, and RAM besides: what is decoded lies in the arena while its operator runs. The runtime's own package
has the compressor (tensorflow/lite/micro/compression).
"""

from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tasks import paths
from tasks.bench.request import Artifact
from tasks.bench.transport import Local
from tasks.errors import DeviceError
from tasks.examples import Array
from tasks.files import once
from tasks.formats import tflite
from tasks.records import Tensor
from tasks.scratch import scratch

PACKAGE = "tflite-micro"
WEIGHTS = {
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "FULLY_CONNECTED": 1,
}  # where an operator's weights are among its inputs
WIDEST = 4  # bits of an index: more save less than half
OVERHEAD = 512  # bytes of an operator that decodes, with its tensors
DRAWN, ANSWER_S = 8, 120.0


def packed(artifact: Artifact) -> Path:
    """The file with look-up tables, made once for each artifact and version of the runtime; else the artifact's own.

    It has tables only where that makes it smaller, and where both files answer the same, number for number, to inputs
    that are drawn over all that they can be.
    """
    path = paths.STATE / "luts" / f"{artifact.card.sha256}.{PACKAGE}-{version(PACKAGE)}.tflite"
    return once(path, partial(_make, artifact))


def _make(artifact: Artifact, path: Path) -> None:
    content = artifact.path.read_bytes()
    made = compressed(content)
    path.write_bytes(made or content)
    if made and not _alike(artifact, path):
        path.write_bytes(content)


def compressed(content: bytes) -> bytes | None:
    """A LiteRT file with tables in place of its weights of few values; None where none has so few, or it is no smaller.

    Args:
        content: a whole file, of which integers of 8 bits are looked at.
    """
    from tflite_micro.tensorflow.lite.micro.compression import spec
    from tflite_micro.tensorflow.lite.micro.compression.compress import compress
    from tflite_micro.tensorflow.lite.micro.compression.compressor import CompressionError

    found = [
        spec.Tensor(
            0, place, [spec.LookUpTableCompression(bits, spec.PerTensor() if axis is None else spec.PerChannel(axis))]
        )
        for place, bits, axis in _few(content)
    ]
    try:
        made = bytes(compress(content, found)) if found else content
    except CompressionError:  # a weight that must stay as it is
        return None
    return made if len(made) < len(content) else None


def _few(content: bytes) -> Iterator[tuple[int, int, int | None]]:
    """Weights that are smaller as indices: their place among the tensors, bits of an index, the axis of their channels.

    There is no axis where all of them share one scale.
    """
    model = tflite.objects(content)
    graph = model.subgraphs[0]
    kinds = [operator.kind for operator in tflite.parse(content).main.operators]
    used = {
        int(node.inputs[WEIGHTS[kind]]) for node, kind in zip(graph.operators, kinds, strict=True) if kind in WEIGHTS
    }
    from ai_edge_litert import schema_py_generated as schema

    for place in sorted(used):
        tensor = graph.tensors[place]
        data = model.buffers[tensor.buffer].data
        if tensor.type != schema.TensorType.INT8 or data is None or not len(data):
            continue
        axis = int(tensor.quantization.quantizedDimension) if len(tensor.quantization.scale) > 1 else None
        weights = np.asarray(data, np.uint8).view(np.int8).reshape(tensor.shape)
        rows = [weights.ravel()] if axis is None else np.moveaxis(weights, axis, 0).reshape(tensor.shape[axis], -1)
        bits = max(1, int(np.ceil(np.log2(max(len(np.unique(row)) for row in rows)))))
        if bits <= WIDEST and weights.size * bits // 8 + len(rows) * 2**bits + OVERHEAD < weights.size:
            yield place, bits, axis


def _alike(artifact: Artifact, made: Path) -> bool:
    """Whether both files answer the same; not where nobody says what they take, or the runtime refuses one."""
    if not artifact.card.inputs or any(not tensor.scale for tensor in artifact.card.inputs):
        return False
    rng = np.random.default_rng(0)
    drawn = {tensor.name: _drawn(tensor, rng) for tensor in artifact.card.inputs}
    try:
        own, other = (_answers(path, drawn) for path in (artifact.path, made))
    except DeviceError:  # a crash
        return False
    return bool(own) and own.keys() == other.keys() and all(np.array_equal(own[name], other[name]) for name in own)


def _drawn(tensor: Tensor, rng: np.random.Generator) -> Array:
    """Numbers over all that a quantized input can be: float32 [n, ...]."""
    limits = np.iinfo(tensor.dtype)
    integers = rng.integers(limits.min, limits.max, (DRAWN, *tensor.shape), endpoint=True)
    real: Array = ((integers - (tensor.zero_point or 0)) * (tensor.scale or 0.0)).astype(np.float32)
    return real


def _answers(path: Path, inputs: dict[str, Any]) -> dict[str, Array]:
    """Every output of a file; none where the runtime refuses it."""
    with scratch("luts") as folder:
        given, told = folder / "inputs.npz", folder / "outputs.npz"
        np.savez(given, allow_pickle=False, **inputs)
        ask = {"action": "predict", "runtime": "tflm", "options": {}}
        answer = Local().run(ask, {"model": path, "inputs": given}, {"outputs": told}, timeout_s=ANSWER_S)
        if answer.status != "ok":
            return {}
        with np.load(told, allow_pickle=False) as arrays:
            return dict(arrays)
