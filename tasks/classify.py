"""Classify raw inputs with the model in this folder. It needs Python 3.11, numpy and ai-edge-litert, and no more.

python classify.py INPUT    prints one line of JSON per example: {"label": name, "index": class, "score": output}, or
{"error": mean squared error} where the model reconstructs its input: the larger, the less normal the example is

INPUT is an `.npy` file of one raw example or of a batch (images: uint8 [h, w, c] or [n, h, w, c]; arrays: numbers of
the model's shape, or [n, ...]; texts: str [n]), a `.txt` file with one text a line, or `-` for such lines on standard
input. It serves models of one input and one output.
"""

import hashlib
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


class UserError(Exception):
    """Shown as one line; the script then ends with status 2."""


def manifest() -> dict[str, Any]:
    """The bundle's manifest, once every file that it names is the one that was shipped."""
    try:
        shipped: dict[str, Any] = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
        changed = [name for name, digest in shipped["files"].items() if sha256(HERE / name) != digest]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{HERE}: no manifest of a bundle: {type(error).__name__}: {error}; copy it again") from None
    if changed:
        raise UserError(f"{HERE}: not as it was shipped: {', '.join(sorted(changed))}; copy it again")
    return shipped


def sha256(path: Path) -> str | None:
    """The SHA-256 of a file, in hex; None where there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def read(source: str, spec: dict[str, Any]) -> Any:
    """The raw examples `[n, ...]` of a file or of standard input."""
    if source.endswith(".npy"):
        raw = np.load(source, allow_pickle=False)
        return raw[np.newaxis] if raw.ndim == len(spec.get("shape", ())) else raw
    if spec["kind"] != "text":
        raise UserError(f"{source}: this model reads {spec['kind']}s: give an .npy file")
    lines = (sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")).splitlines()
    if not lines:
        raise UserError(f"{source}: no text in it; one text a line is expected")
    return np.array(lines)


class Classifier:
    """The model in the runtime.

    Args:
        path: the `.tflite` file.
        kernels: "default", or "reference" for the runtime's portable ones: those that the recorded quality is of.
    """

    def __init__(self, path: Path, kernels: str) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        resolver = {"default": OpResolverType.AUTO, "reference": OpResolverType.BUILTIN_REF}[kernels]
        self.interpreter = Interpreter(str(path), experimental_op_resolver_type=resolver)
        inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        if len(inputs) != 1 or len(outputs) != 1:
            raise UserError(
                f"{path.name}: {len(inputs)} inputs and {len(outputs)} outputs; this script serves one each"
            )
        self.input, self.output = inputs[0], outputs[0]

    def scores(self, examples: Any) -> Iterator[Any]:
        """The model's real-valued output `[classes]` of each model-ready example `[n, ...]`."""
        shape = (1, *examples.shape[1:])
        if tuple(self.input["shape"]) != shape:
            self.interpreter.resize_tensor_input(self.input["index"], shape)
        self.interpreter.allocate_tensors()
        for example in quantize(examples, self.input):
            self.interpreter.reset_all_variables()  # a recurrent network shall remember nothing of the example before
            self.interpreter.set_tensor(self.input["index"], example[np.newaxis])
            self.interpreter.invoke()
            yield dequantize(self.interpreter.get_tensor(self.output["index"])[0], self.output)


def quantize(values: Any, detail: dict[str, Any]) -> Any:
    """Values in the type of a model's input: floats for an integer input are scaled, rounded and clipped."""
    scale, zero_point = detail["quantization"]
    if scale and np.issubdtype(detail["dtype"], np.integer) and np.issubdtype(values.dtype, np.floating):
        limits = np.iinfo(detail["dtype"])
        values = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    return values.astype(detail["dtype"])


def dequantize(values: Any, detail: dict[str, Any]) -> Any:
    """The real numbers that a model's output stands for, as float32."""
    scale, zero_point = detail["quantization"]
    values = values.astype(np.float32)
    return (values - np.float32(zero_point)) * np.float32(scale) if scale else values


def only(described: dict[str, Any], what: str) -> Any:
    """The one entry of a mapping."""
    if len(described) != 1:
        raise UserError(f"the model has the {what} {', '.join(described)}; this script serves models of one")
    return next(iter(described.values()))


def classify(source: str) -> Iterator[dict[str, Any]]:
    """The answer for each example of `source`."""
    shipped = manifest()
    preprocess = runpy.run_path(str(HERE / "preprocess.py"))
    described = preprocess["read"](HERE / "preprocess.json")
    spec, target = only(described["inputs"], "inputs"), only(described["targets"], "targets")
    if target["kind"] not in ("class", "anomaly"):
        raise UserError(f"the model's target is of kind {target['kind']!r}; this script serves classes and anomalies")
    examples = preprocess["apply"](spec, read(source, spec))
    outputs = Classifier(HERE / "model.tflite", shipped["kernels"]).scores(examples)
    for example, output in zip(examples, outputs, strict=True):
        yield answer(target, example, output)


def answer(target: dict[str, Any], example: Any, output: Any) -> dict[str, Any]:
    """What is printed of one model-ready example and the model's output for it."""
    if target["kind"] == "anomaly":
        return {"error": float(np.mean(np.square(output - example)))}
    index = int(np.argmax(output))
    return {"label": target["classes"][index], "index": index, "score": float(output[index])}


def main(arguments: list[str]) -> int:
    """Serve the command line; 0, or 2 after an error that was told in one line."""
    if len(arguments) != 1 or arguments[0] in {"-h", "--help"}:
        print(__doc__)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    try:
        for line in classify(arguments[0]):
            print(json.dumps(line, ensure_ascii=False))
    except ImportError as error:
        print(f"classify.py: {error}; install it: pip install numpy ai-edge-litert", file=sys.stderr)
    except (UserError, OSError, ValueError, EOFError) as error:
        print(f"classify.py: {' '.join(str(error).split())}", file=sys.stderr)
    else:
        return 0
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
