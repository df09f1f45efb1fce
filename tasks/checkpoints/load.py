"""A language model from what others store: its decoder, its weights, and the names that they bear there."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.checkpoints import config, tokenizer
from tasks.checkpoints.config import CONFIG
from tasks.checkpoints.names import Names, Stored, stored
from tasks.checkpoints.tensors import Safetensors, Tensors, read_json
from tasks.decoder.spec import DecoderSpec
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

GGUF = ".gguf"
SHOWN = 5  # names of tensors that are told
KINDS = "a folder of Hugging Face (config.json, .safetensors files, tokenizer.json) or a .gguf file"


@dataclass(frozen=True)
class Checkpoint:
    """A language model that lies in files. No weight has been read yet."""

    path: Path
    config: dict[str, Any]  # as in a config.json
    spec: DecoderSpec
    stored: tuple[Stored, ...]
    tensors: Tensors

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """The weights by the names of `DecoderSpec.shapes`; one tensor at a time is in memory."""
        for each in self.stored:
            yield from each.split(self.tensors.read(each.name))

    def model(self, length: int | None = None, name: str = "tokens") -> "tf_keras.Model":
        """The decoder with its weights; see `network.build`."""
        from tasks.decoder import network

        made = network.build(self.spec, length, name)
        network.fill(made, self.weights())
        return made


def load(source: Path) -> Checkpoint:
    """Read what there is, and check that it is whole. No code in it is run, and nothing is unpickled.

    Raises:
        ModelError: it is of no kind that is supported, a tensor is missing, too many or of another shape, a file is
            damaged, or the tokenizer has tokens that the embedding has no row for.
    """
    if source.is_file() and source.suffix == GGUF:
        from tasks.checkpoints import gguf

        return _checked(source, *gguf.load(source))
    if not source.is_dir():
        what = "no such file or folder" if not source.exists() else "no kind of checkpoint that is known"
        raise ModelError(f"source: {source}: {what}; {KINDS} is expected")
    path = source / CONFIG
    values = read_json(path)
    kind = config.kind(path, values)
    tensors = Safetensors(source)
    names = _with_body(kind.names, tensors.shapes())
    found = config.spec(path, values, _rows(tensors, names))
    tokenizer.check(source, found.vocabulary)
    return _checked(source, values, found, names, tensors)


def _with_body(names: Names, shapes: dict[str, Any]) -> Names:
    """What is stored of the network alone, as by AutoModel, lacks the name of the whole."""
    bare = not any(name.startswith(names.body) for name in shapes)
    return replace(names, body="") if bare else names


def _rows(tensors: Tensors, names: Names) -> int:
    """The tokens that the embedding has rows for."""
    name = next(f"{names.body}{stem}.weight" for stem, part in names.outside.items() if part == "embedding")
    shape = tensors.shapes().get(name)
    if shape is None or len(shape) != 2 or not all(shape):
        raise ModelError(f"{tensors.path}: the tensor {name!r} is {'missing' if shape is None else list(shape)}")
    return shape[0]


def _checked(source: Path, values: dict[str, Any], spec: DecoderSpec, names: Names, tensors: Tensors) -> Checkpoint:
    shapes = tensors.shapes()
    biases = frozenset(_biases(spec, names, shapes))
    spec = replace(spec, biases=biases)
    wanted = {each.name: each for each in stored(spec, names)}
    missing, more = sorted(wanted.keys() - shapes.keys()), sorted(shapes.keys() - wanted.keys())
    tied = (f"{names.head}.weight",) if spec.tied else ()
    more = [name for name in more if not name.endswith(names.ignored or ("\0",)) and name not in tied]
    told = values.get("model_type")
    if missing:
        raise ModelError(f"{source}: {told}: {len(missing)} tensors are missing: {_some(missing)}")
    if more:
        raise ModelError(f"{source}: {told}: {len(more)} tensors belong to no part of such a decoder: {_some(more)}")
    for name, each in wanted.items():
        if shapes[name] != each.shape:
            raise ModelError(
                f"{source}: the tensor {name!r} is {list(shapes[name])}; {list(each.shape)} expected by {CONFIG}"
            )
    return Checkpoint(source, values, spec, tuple(wanted.values()), tensors)


def _biases(spec: DecoderSpec, names: Names, shapes: dict[str, Any]) -> Iterator[str]:
    """The parts that have a bias: in any layer, so that one that lacks it is told as missing."""
    for stem, part in (*names.outside.items(), ("", "head")):
        name = names.head if part == "head" else names.body + stem
        if f"{name}.bias" in shapes:
            yield part
    for stem, parts in names.inside.items():
        if any(f"{names.body}{names.layer.format(i)}{stem}.bias" in shapes for i in range(len(spec.blocks))):
            yield from parts


def _some(found: list[str]) -> str:
    return ", ".join(found[:SHOWN]) + (", …" if len(found) > SHOWN else "")
