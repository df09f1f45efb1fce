"""A decoder written as a folder of Hugging Face, so that others can load what was trained or compressed here."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import files
from tasks.checkpoints import config, gguf_tokenizer, tokenizer
from tasks.checkpoints.gguf import FACTORS, Gguf
from tasks.checkpoints.load import CONFIG, Checkpoint
from tasks.checkpoints.names import Array, stored
from tasks.checkpoints.tensors import SINGLE
from tasks.decoder import network
from tasks.decoder.spec import DecoderSpec
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras


def write(model: "tf_keras.Model", source: Checkpoint, folder: Path) -> None:
    """Write config.json, model.safetensors (float32) and the tokenizer; the folder is replaced whole.

    Args:
        model: of `source`, with its parts as they were but for their weights, and feed-forwards that may be narrower.
        source: what it was read from: its config.json says what kind of model it is.
        folder: where to.

    Raises:
        ModelError: the model has other parts than its kind, or what config.json has no word for.
    """
    from safetensors.numpy import save_file

    weights = dict(network.weights(model))
    spec = _as_it_is(source, weights)
    names = config.KINDS[source.config["model_type"]].names
    tensors = {each.name: each.join(weights) for each in stored(spec, names)}
    with files.replaced_folder(folder) as temporary:
        save_file(tensors, temporary / SINGLE, metadata={"format": "pt"})
        files.write_json(temporary / CONFIG, _config(source, spec))
        (temporary / SINGLE).chmod((temporary / CONFIG).stat().st_mode)  # which else none but its owner might read
        _write_tokenizer(source, temporary)


def _as_it_is(source: Checkpoint, weights: Mapping[str, Array]) -> DecoderSpec:
    """The spec of a model that may be narrower than its source.

    Raises:
        ModelError: it differs in anything else.
    """
    if isinstance(source.tensors, Gguf) and FACTORS in source.tensors.shapes():
        raise ModelError(f"{source.path}: its rotary factors have no word in a {CONFIG}: start from its folder instead")
    hidden = {value.shape[0] for name, value in weights.items() if name.endswith("_up.weight")}
    if len(hidden) > 1:
        told = ", ".join(map(str, sorted(hidden)))
        raise ModelError(
            f"layers with feed-forwards of {told} units: a {CONFIG} has one number for all of them; "
            "slim them alike, by its `widths`"
        )
    spec = replace(source.spec, hidden=hidden.pop()) if hidden else source.spec
    wanted = spec.shapes()
    for name in sorted(wanted.keys() | weights.keys()):
        found, expected = getattr(weights.get(name), "shape", None), wanted.get(name)
        if found != expected:
            raise ModelError(
                f"{name}: {_told(found)}; a {source.config['model_type']} as that in {source.path} has "
                f"{_told(expected)}: the model's parts are others than before"
            )
    return spec


def _told(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else str(list(shape))


def _config(source: Checkpoint, spec: DecoderSpec) -> dict[str, Any]:
    kind = config.KINDS[source.config["model_type"]]
    changed = {kind.aliases.get("intermediate_size", "intermediate_size"): spec.hidden, "dtype": "float32"}
    return {key: value for key, value in source.config.items() if key != "torch_dtype"} | changed


def _write_tokenizer(source: Checkpoint, folder: Path) -> None:
    if isinstance(source.tensors, Gguf):
        if source.tensors.value("tokenizer.ggml.model") is not None:
            gguf_tokenizer.tokenizer(source.tensors).save(str(folder / tokenizer.TOKENIZER))
            files.write_json(folder / "tokenizer_config.json", gguf_tokenizer.settings(source.tensors))
        return
    for name in tokenizer.FILES:
        if (path := source.path / name).is_file():
            shutil.copyfile(path, folder / name)
