"""How the scales of integer weights are shared: one for each channel of an output, or one for the whole tensor."""

from pathlib import Path
from typing import Literal

from tasks.formats import tflite

Granularity = Literal["channel", "tensor"]
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")


def granularity(path: Path) -> Granularity | None:
    """Of a `.tflite` file's layers, the finest; None: no layer has integer weights with a scale."""
    counts = [
        len(weights.scales)
        for graph in tflite.load(path).graphs
        for operator in graph.operators
        if operator.kind in WEIGHTED and (weights := graph.tensors[operator.inputs[1]]).stored is not None
    ]
    known = [count for count in counts if count]
    return ("channel" if max(known) > 1 else "tensor") if known else None
