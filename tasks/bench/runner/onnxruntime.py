"""ONNX Runtime: `.onnx` files, on the processor."""

import json
from collections import defaultdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from .arrays import Example, RefusedError, one_line
from .tensors import Described

PACKAGE = "onnxruntime"
MODULE = "onnxruntime"
ERRORS_ONLY = 3  # of its log's severities


def __getattr__(name: str) -> Any:
    """`REFUSALS`, only when it is asked for: it imports the runtime, which belongs to the loading of a model."""
    if name != "REFUSALS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    return (runtime.Fail, runtime.NotImplemented, runtime.RuntimeException)


class Model(Described):
    """An artifact in the runtime; `arrays` documents the interface.

    `options`: `threads`, those of `Described`, and `profile`, if each operator shall be timed.
    """

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as runtime

        Path(path).open("rb").close()  # a missing file is no verdict of the runtime
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads, settings.inter_op_num_threads = options["threads"], 1
        settings.log_severity_level = ERRORS_ONLY
        # on x86 without VNNI pairs of products would be added in 16 bits, which saturate: there, weights become uint8
        settings.add_session_config_entry("session.x64quantprecision", "1")
        if options.get("profile"):
            self._folder = TemporaryDirectory(prefix="tercet-profile-")
            settings.enable_profiling, settings.profile_file_prefix = True, str(Path(self._folder.name, "profile"))
        try:
            self.session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        except (*__getattr__("REFUSALS"), runtime.InvalidGraph, runtime.InvalidArgument, runtime.InvalidProtobuf) as e:
            raise RefusedError(one_line(e).partition(" failed:")[2] or one_line(e)) from None
        inputs, outputs = (
            {tensor.name: _dtype(tensor.type) for tensor in side}
            for side in (self.session.get_inputs(), self.session.get_outputs())
        )
        super().__init__(options, inputs, outputs)
        self._names = list(outputs)
        self._profiled = bool(options.get("profile"))

    def put(self, example: Example) -> None:
        """Put one example in place: the runtime reads the arrays where they are."""
        self._feed = dict(example)

    def invoke(self) -> None:
        """Infer once."""
        self._results = self.session.run(self._names, self._feed)

    def read(self) -> list[Any]:
        """The outputs, which each inference brings with it."""
        return list(self._results)

    def operators(self) -> list[dict[str, Any]]:
        """Each operator as the runtime has fused it; the profiler counts whole microseconds."""
        if not self._profiled:
            return []
        events = json.loads(Path(self.session.end_profiling()).read_bytes())
        self._folder.cleanup()
        return _operators(events)


def _operators(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The profiler's events of nodes, each node's taken together."""
    microseconds: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            about = event["args"]
            node = event["name"].removesuffix("_kernel_time")
            microseconds[node, about["op_name"], about["provider"]].append(event["dur"])
    return [
        {"name": name, "kind": kind, "ran_on": provider, "ms": median(durations) / 1e3}
        for (name, kind, provider), durations in microseconds.items()
    ]


def _dtype(name: str) -> Any:
    """The numpy dtype of, for instance, `tensor(float)`."""
    element = name.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(element, element))
