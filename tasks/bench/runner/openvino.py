"""OpenVINO: `.tflite` files as they are, on the processor."""

import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from .arrays import Example, RefusedError, one_line
from .tensors import Described

PACKAGE = "openvino"
MODULE = "openvino"
REFUSALS = (RuntimeError,)
# importing openvino imports its converter, which at once reports to its vendor; the package goes on without it
sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]  # None: "there is no such module"


class Model(Described):
    """An artifact in the runtime; `arrays` documents the interface.

    `options`: `threads`, those of `Described`, and `profile`, if each operator shall be timed.
    """

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        import openvino

        Path(path).open("rb").close()  # a missing file is no verdict of the runtime
        self._profiled = bool(options.get("profile"))
        settings = {
            "INFERENCE_NUM_THREADS": options["threads"],
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            # by itself it takes bfloat16 where the processor has it, and rounds activations to int8 before int8 weights
            "INFERENCE_PRECISION_HINT": "f32",
            "EXECUTION_MODE_HINT": "ACCURACY",
            "PERF_COUNT": self._profiled,
        }
        core = openvino.Core()
        try:
            network = core.read_model(path)
            network.reshape({k: _batch_of_one(given.partial_shape) for k, given in enumerate(network.inputs)})
            self.request = core.compile_model(network, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            raise RefusedError(_reason(error)) from None
        inputs, outputs = (
            {k: tensor.element_type.to_dtype() for k, tensor in enumerate(side)}
            for side in (network.inputs, network.outputs)
        )
        super().__init__(options, inputs, outputs)
        self._tensor = partial(openvino.Tensor, shared_memory=True)
        self._indices = range(len(outputs))
        self._microseconds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        self.invoke = self._infer_and_note if self._profiled else partial(self.request.infer, share_outputs=True)

    def put(self, example: Example) -> None:
        """Put one example in place: the runtime reads the arrays where they are."""
        for index, value in example:
            self.request.set_input_tensor(index, self._tensor(value))

    def read(self) -> list[Any]:
        """The outputs, out of the runtime's memory."""
        return [self.request.get_output_tensor(k).data.copy() for k in self._indices]

    def operators(self) -> list[dict[str, Any]]:
        """Each operator that took time, as the runtime has fused it; its counters are in whole microseconds."""
        return [
            {"name": name, "kind": kind, "ran_on": kernel, "ms": median(durations) / 1e3}
            for (name, kind, kernel), durations in self._microseconds.items()
        ]

    def _infer_and_note(self) -> None:
        self.request.infer(share_outputs=True)
        for node in self.request.profiling_info:
            if node.status == node.Status.EXECUTED:
                key = node.node_name, node.node_type, node.exec_type
                self._microseconds[key].append(node.real_time.total_seconds() * 1e6)


def _batch_of_one(shape: Any) -> Any:
    """An input's shape, with 1 for a free batch axis, as LiteRT takes it: kernels are chosen for fixed shapes."""
    if shape.rank.is_static and len(shape) and shape[0].is_dynamic:
        shape[0] = 1
    return shape


def _reason(error: RuntimeError) -> str:
    """What an exception says, without the lines of the runtime's source that it passed."""
    lines = [line for line in str(error).splitlines() if not line.startswith(("Exception from", "Check '"))]
    return one_line(RuntimeError(" ".join(lines))) if any(lines) else one_line(error)
