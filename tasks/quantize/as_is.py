"""A LiteRT file of one's own as a variant: not a byte of it is changed."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from tasks.errors import ModelError
from tasks.examples import Arrays, dataset
from tasks.examples.dataset import LABEL, Spec, TensorSpec
from tasks.formats import sizes, tflite
from tasks.quantize import guard, litert, signatures
from tasks.records import ArtifactCard, Tensor
from tasks.training import keras_files

FILE = keras_files.LITERT
BYTE = 255
BRIGHT = 16.0  # pixels are larger, and numbers that were scaled are not


def write(folder: Path, variant: str, model: str, place: Path, examples: Arrays) -> None:
    """Copy the LiteRT file of a model into `folder`, and write its card.

    Args:
        folder: an empty one.
        variant: its name.
        model: the name of a model that came as a `.tflite` file.
        place: that model's folder.
        examples: model-ready ones, that the file is tried on.

    Raises:
        ConversionError: an answer is not finite, or hangs from what was asked before.
        ModelError: the model is a Keras model, or the file is damaged or does not fit the data.
    """
    source, spec = place / FILE, dataset.spec()
    if not source.exists():
        raise ModelError(
            f"variant {variant!r}: scheme as-is takes a .tflite file as it is; {model!r} is a Keras model: choose the "
            "scheme that it shall be converted at"
        )
    content = source.read_bytes()
    try:
        graph, calls = litert.inspect(content), signatures.read(tflite.parse(content))
        shapes, told = _shapes(content)
    except tflite.DAMAGED as error:
        raise ModelError(f"model {model!r}: not a whole LiteRT file: {type(error).__name__}: {error}") from None
    if any(call.state for call in calls):
        tokens, scores = signatures.language(model, calls)
        graph = replace(graph, inputs=(tokens,), outputs=(scores,))
        shapes = [[1, *next(iter(spec.inputs.values())).shape]]  # a prompt may be any that its prefills go into
        told = [[1, *scores.shape]]
    names = spec.names_of([tensor.name for tensor in graph.inputs], f"model {model!r}")
    inputs = tuple(
        _checked(model, tensor, shape, spec.inputs[name])
        for name, tensor, shape in zip(names, graph.inputs, shapes, strict=True)
    )
    outputs = _answering(model, graph.outputs, told, spec)
    guard.check(content, "as-is", examples, calls=calls)
    (folder / FILE).write_bytes(content)
    ArtifactCard(
        variant=variant,
        model=model,
        scheme="as-is",
        file=FILE,
        sha256=hashlib.sha256(content).hexdigest(),
        **sizes.of(content),
        inputs=inputs,
        outputs=outputs,
        signatures=calls,
        state_bytes=signatures.state_bytes(calls),
        operators=graph.operators,
        converter="none",
        no_stablehlo="scheme as-is: there is no Keras model to make StableHLO of",
    ).save(folder / "card.json")


def _shapes(content: bytes) -> tuple[list[list[int]], list[list[int]]]:
    """The shapes of inputs and of outputs with their batch axis; -1 where the file leaves a size open."""
    graph = tflite.parse(content).main
    inputs, outputs = ([list(t.open_shape) for t in graph.made(side)] for side in (graph.inputs, graph.outputs))
    return inputs, outputs


def _checked(model: str, tensor: Tensor, shape: list[int], wanted: TensorSpec) -> Tensor:
    """An input as it is for the data, of one example at a time."""
    if not _fits(shape, (1, *wanted.shape)):
        raise ModelError(f"model {model!r}: input {tensor.name!r} takes {shape}; the data has {[1, *wanted.shape]}")
    real = tensor.dtype.startswith("float") or tensor.scale is not None
    if real != wanted.dtype.startswith("float"):
        raise ModelError(f"model {model!r}: input {tensor.name!r} takes {tensor.dtype}; the data has {wanted.dtype}")
    if wanted.pixels is not None and tensor.scale and not tensor.dtype.startswith("float"):
        _check_pixels(f"model {model!r}: input {tensor.name!r}", tensor, raw=wanted.pixels.raw)
    return tensor.model_copy(update={"shape": wanted.shape})


def _check_pixels(what: str, tensor: Tensor, *, raw: bool) -> None:
    """Refuse pixels that an input's integers do not tell apart: they would round scaled ones to nothing, clip bytes."""
    top = (np.iinfo(tensor.dtype).max - (tensor.zero_point or 0)) * (tensor.scale or 0.0)
    if top >= BRIGHT and not raw:
        raise ModelError(
            f"{what} takes pixels from 0 to {BYTE}, and prepare has scaled them: set `prepare.normalize: none`"
        )
    if top < BRIGHT and raw:
        raise ModelError(
            f"{what} takes numbers up to {top:.3g}, and prepare has left pixels from 0 to {BYTE}: set "
            "`prepare.normalize` to unit or standard, whichever the model has learnt from"
        )


def _answering(model: str, outputs: tuple[Tensor, ...], shapes: list[list[int]], spec: Spec) -> tuple[Tensor, ...]:
    """The outputs as they are for the data, of one example at a time: what is left open has the size that is wanted."""
    wanted: tuple[int, ...] = (spec.answers,)
    if spec.task == "reconstruction":
        wanted = next(iter(spec.inputs.values())).shape
    if spec.task == "language":
        wanted = (*next(iter(spec.inputs.values())).shape, spec.answers)
    judging = [place for place, tensor in enumerate(outputs) if len(outputs) == 1 or tensor.name == LABEL]
    given = [shapes[place][1:] for place in judging]
    if len(given) != 1 or not _fits(given[0], wanted):
        told = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in outputs)
        raise ModelError(
            f"model {model!r}: gives {told}; one output of {list(wanted)} is expected, called {LABEL!r} among several"
        )
    judged = outputs[judging[0]].model_copy(update={"shape": wanted})
    return (*outputs[: judging[0]], judged, *outputs[judging[0] + 1 :])


def _fits(shape: list[int], wanted: tuple[int, ...]) -> bool:
    """Whether a tensor of such a shape, -1 where a size is open, is one of the wanted shape."""
    return len(shape) == len(wanted) and all(size in (-1, other) for size, other in zip(shape, wanted, strict=True))
