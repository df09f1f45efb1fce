"""Operators as node data of Google's Model Explorer, which colours the graph of a `.tflite` file by them.

Its form (ai-edge-model-explorer, `node_data_builder.py`): {graph: {"results": {node: {"value": number}}, "gradient":
colours from the least value to the greatest}}. A node goes by the name of any tensor that it puts out.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.errors import UnsupportedError
from tasks.formats import cost
from tasks.records import Measurement

GRAPH = "main"  # what the file's first graph is called there
GRADIENT = [{"stop": 0, "bgColor": "#fff7ec"}, {"stop": 1, "bgColor": "#fc8d59"}]
COUNTS = {"macs": "MACs", "weight_bytes": "bytes of weights"}  # fields of an operator
NodeData = dict[str, Any]


def node_data(model: Path, measured: Iterable[Measurement]) -> dict[str, NodeData]:
    """By name: MACs and bytes of each operator of a file, and the milliseconds that a device has told of them.

    Nothing of a file whose graph cannot be read, and nothing of a device that tells no times, or of other operators
    than the file's: a runtime that has made a network of its own of it.

    Args:
        model: the file.
        measured: of this file.
    """
    try:
        operators = cost.read(model)
    except (UnsupportedError, FileNotFoundError):
        return {}
    found = {key: {each.name: getattr(each, key) for each in operators} for key in COUNTS}
    for m in measured:
        times = {each.name: each.ms for each in m.operators if each.ms is not None}
        if m.status == "ok" and times and times.keys() <= found["macs"].keys():
            found[f"ms@{m.device}"] = times
    return {key: _data(key, values) for key, values in found.items()}


def _data(key: str, values: dict[str, float]) -> NodeData:
    results = {name: {"value": value} for name, value in values.items()}
    return {GRAPH: {"name": COUNTS.get(key, key.replace("@", " on ")), "results": results, "gradient": GRADIENT}}
