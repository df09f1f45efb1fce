"""What there is to say of a LiteRT file beside its figures: wider numbers than its scheme promises, slow kernels."""

import math

from tasks.formats import tflite
from tasks.formats.schemes import AI_EDGE, SCHEMES

NARROW = {"int4", "int8", "int16", "float16"}
SMALLEST = 1024  # numbers of a kernel that TensorFlow's converter makes int8 where activations stay float32
UNTOLD = 0.1  # a share of the weights that changes neither the file's size nor its time by much
SLOW = "DEPTHWISE_CONV_2D"  # of floats by integers: XNNPACK, which has LiteRT's fast kernels, has none


def of(content: bytes, scheme: str, *, excluded: bool = False) -> str | None:
    """What a user is told of a file of a Keras model; None: nothing.

    Args:
        content: the file.
        scheme: what it was made at.
        excluded: whether layers were left out, so that floats in it are as asked.
    """
    said = (None if excluded else left_wide(content, scheme), slow(content))
    return "; ".join(filter(None, said)) or None


def slow(content: bytes) -> str | None:
    """That a file multiplies floats by integers where it would take less time to leave both floats."""
    graph = tflite.parse(content).main
    pairs = [[graph.tensors[i].dtype for i in each.inputs[:2]] for each in graph.operators if each.kind == SLOW]
    found = pairs.count(["float32", "int8"])
    if not found:
        return None
    return (
        f"{found} of its depthwise convolutions multiply floats by int8, which LiteRT has no fast kernel for; "
        '`exclude: ["*depthwise*"]` leaves them in float32, if their layers are called so'
    )


def left_wide(content: bytes, scheme: str) -> str | None:
    """What there is to say of a file whose weights are not what its scheme's name says; None of every other.

    Args:
        content: a file that was made of a Keras model, no layer of which was excluded.
        scheme: what it was made at. A tenth of the weights may stay float32 and nothing is said.
    """
    file = tflite.parse(content)
    weights = _weights(file)
    wide = [(kind, tensor) for kind, tensor in weights if tensor.dtype == "float32"]
    share = _numbers(wide) / max(_numbers(weights), 1)
    narrow = file.dtypes() & NARROW
    if SCHEMES.load(scheme).weights == 32 or (narrow and share <= UNTOLD):
        return None
    said = f"{share:.0%} of its weights stay float32"
    if not narrow:
        said = f"no number of it is smaller than float32: it is the float32 network under the name of {scheme}"
    if not wide:
        return f"{said}; it has no weights"
    if SCHEMES.load(scheme).converts != AI_EDGE and all(math.prod(tensor.shape) < SMALLEST for _, tensor in wide):
        left = f"{said}; TensorFlow's converter leaves kernels of fewer than {SMALLEST:,} numbers as they are"
        return f'{left}; `bits: {{"*": 8}}` makes them int8' if "bits" in SCHEMES.load(scheme).takes else left
    return f"{said}; those of {', '.join(sorted({kind for kind, _ in wide}))} are not made smaller by it"


def _weights(file: tflite.File) -> list[tuple[str, tflite.Tensor]]:
    """The constants that a file's operators compute with, those in loops too, each with the kind of one operator.

    What has a single axis is no kernel: biases and scales are as wide as the sums that they are added to.
    """
    return [
        (kind, graph.tensors[place])
        for graph in file.graphs
        for place, kind in {i: operator.kind for operator in graph.operators for i in operator.inputs if i >= 0}.items()
        if graph.tensors[place].stored and len(graph.tensors[place].shape) > 1
        if graph.tensors[place].dtype in NARROW | {"float32"}
    ]


def _numbers(weights: list[tuple[str, tflite.Tensor]]) -> int:
    return sum(math.prod(tensor.shape) for _, tensor in weights)
