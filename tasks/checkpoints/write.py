"""A decoder written as a folder of Hugging Face, so that others can load what was trained or compressed here."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import files
from tasks.checkpoints import config, gguf_tokenizer, tokenizer
from tasks.checkpoints.config import CONFIG
from tasks.checkpoints.gguf import FACTORS, Gguf
from tasks.checkpoints.load import Checkpoint
from tasks.checkpoints.names import Array, stored
from tasks.checkpoints.tensors import SINGLE
from tasks.decoder import network
from tasks.decoder.spec import DecoderSpec
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

SLIMMED = {  # sizes that may be smaller than they were: the part of each layer that tells them, and their words
    "hidden": ("up", "feed-forwards of {} units"),
    "heads": ("query", "attentions of {} heads"),
    "kv_heads": ("key", "keys and values of {} heads"),
}


def write(model: "tf_keras.Model", source: Checkpoint, folder: Path) -> None:
    """Write config.json, model.safetensors (float32) and the tokenizer; the folder is replaced whole.

    Args:
        model: of `source`, with its parts as they were but for their weights, and perhaps narrower feed-forwards and
            fewer heads.
        source: what it was read from: its config.json says what kind of model it is.
        folder: where to.

    Raises:
        ModelError: the model has other parts than its kind, or what config.json has no word for.
    """
    if isinstance(source.tensors, Gguf) and FACTORS in source.tensors.shapes():
        raise ModelError(f"{source.path}: its rotary factors have no word in a {CONFIG}: start from its folder instead")
    with files.replaced_folder(folder) as temporary:
        _write(model, source.config, source.spec, f"that in {source.path}", temporary)
        _write_tokenizer(source, temporary)


def write_own(
    model: "tf_keras.Model", spec: DecoderSpec, theta: float, words: tuple[str, int | None] | None, folder: Path
) -> None:
    """Write a decoder of one's own sizes as Qwen3, which it is in all but them.

    Args:
        model: of `spec`, with perhaps narrower feed-forwards and fewer heads.
        spec: its sizes.
        theta: the base of its rotary places.
        words: a tokenizer.json and the token that ends a text, or None: the data do not say it; None: nobody says how
            a text becomes its tokens.
        folder: where to.

    Raises:
        ModelError: the model has other parts.
    """
    about = {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "vocab_size": spec.vocabulary,
        "hidden_size": spec.width,
        "num_hidden_layers": len(spec.blocks),
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads,
        "head_dim": spec.head_width,
        "max_position_embeddings": spec.room,
        "rms_norm_eps": spec.epsilon,
        "rope_theta": theta,
        "hidden_act": spec.activation,
        "tie_word_embeddings": spec.tied,
        "attention_bias": False,
        "eos_token_id": words[1] if words else None,
    }
    with files.replaced_folder(folder) as temporary:
        _write(model, about, spec, "that of params.yaml", temporary)
        if words is not None:
            files.write_text(temporary / tokenizer.TOKENIZER, words[0])
            files.write_json(temporary / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})


def _write(model: "tf_keras.Model", about: dict[str, Any], spec: DecoderSpec, told: str, folder: Path) -> None:
    """Write the weights and config.json of a model that may be narrower than `spec`."""
    from safetensors.numpy import save_file

    weights, kind = dict(network.weights(model)), config.KINDS[about["model_type"]]
    made = _as_it_is(spec, f"a {about['model_type']} as {told}", weights)
    save_file(
        {each.name: each.join(weights) for each in stored(made, kind.names)}, folder / SINGLE, metadata={"format": "pt"}
    )
    changed: dict[str, Any] = {"intermediate_size": made.hidden, "dtype": "float32"}
    if (made.heads, made.kv_heads) != (spec.heads, spec.kv_heads):
        changed |= _heads(made, about["model_type"], kind)
    changed = {kind.aliases.get(key, key): value for key, value in changed.items()}
    files.write_json(folder / CONFIG, {key: value for key, value in about.items() if key != "torch_dtype"} | changed)
    (folder / SINGLE).chmod((folder / CONFIG).stat().st_mode)  # which else none but its owner might read


def _heads(spec: DecoderSpec, told: str, kind: config.Kind) -> dict[str, int]:
    """What tells of heads that are fewer than they were.

    Raises:
        ModelError: the kind has no word for them.
    """
    if kind.undivided:
        raise ModelError(
            f"{spec.heads} heads of {spec.head_width}: those of a {told} are together as wide as the model, "
            f"{spec.width}, whatever a {CONFIG} says; slim its feed-forward alone"
        )
    return {
        "num_attention_heads": spec.heads, "num_key_value_heads": spec.kv_heads, "head_dim": spec.head_width
    }  # fmt: skip


def _as_it_is(spec: DecoderSpec, told: str, weights: Mapping[str, Array]) -> DecoderSpec:
    """The spec of a model that may be narrower than `spec`, which is called `told`, or have fewer heads.

    Raises:
        ModelError: it differs in anything else.
    """
    for size, (part, words) in SLIMMED.items():
        each = 1 if size == "hidden" else spec.head_width
        counts = {value.shape[0] // each for name, value in weights.items() if name.endswith(f"_{part}.weight")}
        if len(counts) > 1:
            raise ModelError(
                f"layers with {words.format(', '.join(map(str, sorted(counts))))}: a {CONFIG} has one number for all "
                "of them; slim them alike, by its `widths`"
            )
        sizes: dict[str, Any] = {size: counts.pop()} if counts else {}
        spec = replace(spec, **sizes)
    wanted = spec.shapes()
    for name in sorted(wanted.keys() | weights.keys()):
        found, expected = getattr(weights.get(name), "shape", None), wanted.get(name)
        if found != expected:
            raise ModelError(
                f"{name}: {_shown(found)}; {told} has {_shown(expected)}: the model's parts are others than before"
            )
    return spec


def _shown(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else str(list(shape))


def _write_tokenizer(source: Checkpoint, folder: Path) -> None:
    if isinstance(source.tensors, Gguf):
        if source.tensors.value("tokenizer.ggml.model") is not None:
            gguf_tokenizer.tokenizer(source.tensors).save(str(folder / tokenizer.TOKENIZER))
            files.write_json(folder / "tokenizer_config.json", gguf_tokenizer.settings(source.tensors))
        return
    for name in tokenizer.FILES:
        if (path := source.path / name).is_file():
            shutil.copyfile(path, folder / name)
