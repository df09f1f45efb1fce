"""Tensors for runtimes that know neither the artifact's names for its inputs and outputs nor how they are quantized."""

from typing import Any

import numpy as np

from .arrays import Arrays, Example, RefusedError, dequantize, quantize


class Described:
    """The part of `arrays.Model` that follows from a description of the tensors.

    `options` hold `inputs` and `outputs`, in the file's order: `name` (the artifact's), `dtype`, `scale` and
    `zero_point` (both null where not quantized).
    """

    def __init__(self, options: dict[str, Any], inputs: dict[Any, Any], outputs: dict[Any, Any]) -> None:
        """Match the description with the file.

        Args:
            options: the runtime's.
            inputs: the numpy dtypes of the file's, in its order, by what the runtime calls each.
            outputs: likewise.

        Raises:
            RefusedError: it was converted into a file of other inputs or outputs.
        """
        received, expected = (len(inputs), len(outputs)), (len(options["inputs"]), len(options["outputs"]))
        if received != expected:
            raise RefusedError(f"the artifact has {expected} inputs and outputs, what was made of it has {received}")
        self.inputs = {
            about["name"]: {"call": call, "dtype": dtype, "quantization": _quantization(about, dtype)}
            for about, (call, dtype) in zip(options["inputs"], inputs.items(), strict=True)
        }
        self._quantizations = {
            about["name"]: _quantization(about, dtype)
            for about, dtype in zip(options["outputs"], outputs.values(), strict=True)
        }

    def prepare(self, columns: Arrays) -> list[Example]:
        """Every example, batch of one, in the model's types."""
        pairs = [(self.inputs[name], np.ascontiguousarray(column)) for name, column in columns.items()]
        n = len(pairs[0][1])
        return [
            [(about["call"], quantize(a[i : i + 1], about["dtype"], *about["quantization"])) for about, a in pairs]
            for i in range(n)
        ]

    def floats(self, rows: list[list[Any]]) -> Arrays:
        """What `read` gave, example by example, as float32 arrays `[n, ...]` by output name."""
        return {
            name: dequantize(np.concatenate([row[k] for row in rows]), *quantization)
            for k, (name, quantization) in enumerate(self._quantizations.items())
        }

    def facts(self) -> dict[str, Any]:
        """What the runtime says of the model."""
        return {}


def _quantization(about: dict[str, Any], dtype: Any) -> tuple[float, int]:
    """Scale and zero point in the file's own type, which a converter may have made unsigned."""
    if not about["scale"]:
        return 0.0, 0
    if not np.issubdtype(dtype, np.integer):
        raise RefusedError(f"{about['name']} is {about['dtype']} in the artifact, {dtype} in what was made of it")
    return about["scale"], about["zero_point"] + int(np.iinfo(dtype).min) - int(np.iinfo(about["dtype"]).min)
