"""config.json of Hugging Face to a decoder: one entry for each kind of model, and what none of them may say.

What a key means, and what it is where it is absent, is as in transformers 5.24 (its configuration classes).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.checkpoints import names
from tasks.checkpoints.keys import Keys
from tasks.checkpoints.names import Names
from tasks.checkpoints.places import blocks
from tasks.decoder.spec import DecoderSpec
from tasks.errors import ModelError, suggest

CONFIG = "config.json"
ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "gelu": "gelu", "relu": "relu",
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_tanh"), "gelu_tanh"),
}  # fmt: skip
REFUSED = {  # keys of any kind of model: the values that change nothing, and what any other asks for
    "auto_map": ((), "code that comes with the checkpoint, which is never run (a plain model works without the key)"),
    "quantization_config": ((), "weights in a format of their own"),
    "is_encoder_decoder": ((False,), "an encoder"),
    "add_cross_attention": ((False,), "an encoder"),
    "use_bidirectional_attention": ((False,), "attention to what comes later"),
    "pretraining_tp": ((1, 0), "matrices in slices"),
    "alibi": ((False,), "ALiBi"),
    "rope_interleaved": ((False,), "rotary pairs side by side"),
    "qk_layernorm": ((False,), "norms of queries and keys in this kind of model"),
    "scale_attn_weights": ((True,), "attention that is not scaled"),
    "scale_attn_by_inverse_layer_idx": ((False,), "a scale for each layer"),
    "do_layer_norm_before": ((True,), "OPT's norms behind the attention"),
    "_remove_final_layer_norm": ((False,), "OPT without its last norm"),
    "layer_norm_elementwise_affine": ((True,), "norms without weights"),
    "kv_lora_rank": ((), "multi-head latent attention"),
    "q_lora_rank": ((), "multi-head latent attention"),
    "attention_sinks": ((False,), "attention sinks"),
}
HARMLESS = {  # of training, generation and loading; nothing that is computed depends on them
    *("_name_or_path", "architectures", "bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id"),
    *("torch_dtype", "dtype", "transformers_version", "use_cache", "initializer_range", "init_std", "model_type"),
    *("vocab_size", "id2label", "label2id", "cache_implementation"),
    *("hidden_dropout", "layerdrop", "classifier_dropout", "activation_dropout"),
    *("resid_pdrop", "embd_pdrop", "attn_pdrop", "embedding_dropout", "residual_dropout", "dropout", "is_decoder"),
    *("attention_dropout", "attention_bias", "mlp_bias", "use_bias", "use_qkv_bias", "enable_bias", "n_ctx"),
    *("reorder_and_upcast_attn", "task_specific_params", "is_llama_config", "transformers.js_config"),
    *("original_max_position_embeddings", "prefix", "return_dict", "chunk_size_feed_forward", "problem_type"),
    *("output_attentions", "output_hidden_states", "_sliding_window_pattern", "output_past", "gradient_checkpointing"),
    *(f"summary_{what}" for what in ("type", "use_proj", "activation", "proj_to_labels", "first_dropout")),
}
MOST = 1 << 12  # layers, and numbers of a head: more would take memory before any tensor is looked at
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A kind of model."""

    names: Names
    fixed: Mapping[str, Any] = field(default_factory=dict)  # of its `DecoderSpec`
    absent: Mapping[str, Any] = field(default_factory=dict)  # values of keys that config.json leaves out
    aliases: Mapping[str, str] = field(default_factory=dict)  # what it calls a key
    rotary: bool = True
    undivided: bool = False  # its heads have width / heads numbers, whatever config.json says

    def completed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a config.json says, with what it leaves out."""
        return {self.aliases.get(key, key): value for key, value in self.absent.items()} | dict(values)


_LAYER = {"norm": "layer", "gated": False}
_TIED = {"tie_word_embeddings": True}
_GELU_TANH = {"hidden_act": "gelu_pytorch_tanh"}
_LN = {"rms_norm_eps": "layer_norm_eps"}
_GEMMA = {**_TIED, **_GELU_TANH, "head_dim": 256, "max_position_embeddings": 8192}
_GEMMA2 = {
    **_GEMMA, "num_key_value_heads": 4, "num_attention_heads": 8, "query_pre_attn_scalar": 256, "sliding_window": 4096,
}  # fmt: skip
KINDS: dict[str, Kind] = {
    "llama": Kind(names.LLAMA),
    "mistral": Kind(names.LLAMA, absent={"sliding_window": 4096, "num_key_value_heads": 8}),
    "qwen2": Kind(names.LLAMA, absent={"use_sliding_window": False}),
    "qwen3": Kind(names.QWEN3, {"query_norm": "head"}, {"use_sliding_window": False, "head_dim": 128}),
    "gemma": Kind(names.GEMMA, absent=_GEMMA),
    "gemma2": Kind(
        names.GEMMA2,
        {"norms": "around"},
        {**_GEMMA2, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    ),
    "gemma3_text": Kind(names.GEMMA3, {"norms": "around", "query_norm": "head"}, _GEMMA2),
    "gpt2": Kind(
        names.GPT2,
        _LAYER,
        {**_TIED, "hidden_act": "gelu_new", "rms_norm_eps": 1e-5, "max_position_embeddings": 1024},
        {
            "rms_norm_eps": "layer_norm_epsilon", "hidden_size": "n_embd", "num_hidden_layers": "n_layer",
            "num_attention_heads": "n_head", "intermediate_size": "n_inner", "max_position_embeddings": "n_positions",
            "hidden_act": "activation_function",
        },
        rotary=False,
        undivided=True,
    ),
    "gpt_neox": Kind(
        names.GPT_NEOX,
        _LAYER,
        {"hidden_act": "gelu", "rms_norm_eps": 1e-5, "use_parallel_residual": True, "partial_rotary_factor": 0.25},
        {**_LN, "rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"},
        undivided=True,
    ),
    "phi": Kind(
        names.PHI,
        {**_LAYER, "parallel": True, "shared_norm": True},
        {"hidden_act": "gelu_new", "rms_norm_eps": 1e-5, "partial_rotary_factor": 0.5},
        _LN,
    ),
    "phi3": Kind(names.PHI3, absent={"rms_norm_eps": 1e-5}),
    "stablelm": Kind(
        names.LLAMA,
        {"norm": "layer"},
        {"rms_norm_eps": 1e-5, "partial_rotary_factor": 0.25, "use_parallel_residual": False},
        _LN,
        undivided=True,
    ),
    "olmo2": Kind(names.OLMO2, {"norms": "after", "query_norm": "width"}, {"rms_norm_eps": 1e-5}),
    "smollm3": Kind(
        names.LLAMA, absent={**_TIED, "rope_theta": 2e6, "num_key_value_heads": 4, "use_sliding_window": False}
    ),
    "granite": Kind(names.LLAMA),
    "starcoder2": Kind(
        names.STARCODER2,
        _LAYER,
        {**_TIED, **_GELU_TANH, "rms_norm_eps": 1e-5, "num_key_value_heads": 2},
        {"rms_norm_eps": "norm_epsilon"},
    ),
    "opt": Kind(
        names.OPT,
        {**_LAYER, "offset": 2, "epsilon": 1e-5},
        {**_TIED, "hidden_act": "relu"},
        {"intermediate_size": "ffn_dim", "hidden_act": "activation_function"},
        rotary=False,
        undivided=True,
    ),
}  # fmt: skip


def kind(path: Path, values: Mapping[str, Any]) -> Kind:
    """The kind of model that a config.json tells of.

    Raises:
        ModelError: it is none of `KINDS`.
    """
    found = values.get("model_type")
    if not isinstance(found, str) or found not in KINDS:
        raise ModelError(f"{path}: model_type {str(found)[:60]!r} is not supported; {suggest(str(found), KINDS)}")
    return KINDS[found]


def spec(path: Path, values: Mapping[str, Any], vocabulary: int) -> DecoderSpec:
    """The decoder that a config.json tells of, without biases: whether there are any, the tensors tell.

    Args:
        path: its name, for errors.
        values: what it says.
        vocabulary: rows of the embedding.

    Raises:
        ModelError: its kind is not supported, a key asks for what is not, or a value is none that may be.
    """
    known = kind(path, values)
    keys = Keys(path, known.completed(values), known.aliases)
    _refuse(keys, known)
    width, heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    kv_heads = keys.count("num_key_value_heads", heads)
    head_width = keys.count("head_dim", max(width // heads, 1), MOST)
    layers = keys.count("num_hidden_layers", most=MOST)
    if heads % kv_heads:
        raise keys.wrong("num_key_value_heads", kv_heads, f"a divisor of the {heads} heads")
    found: dict[str, Any] = {
        "vocabulary": vocabulary, "width": width, "heads": heads, "kv_heads": kv_heads, "head_width": head_width,
        "hidden": keys.count("intermediate_size", 4 * width),
        "room": keys.count("max_position_embeddings", 2048),
        "epsilon": keys.number("rms_norm_eps", 1e-6) if "epsilon" not in known.fixed else None,
        "activation": _activation(keys),
        "tied": keys.flag("tie_word_embeddings", default=False),
        "blocks": blocks(keys, layers, head_width, rotary=known.rotary),
        "attention_scale": head_width**-0.5,
        **_scales(keys, width, values["model_type"]),
    }  # fmt: skip
    found |= known.fixed
    if "use_parallel_residual" in known.absent:
        found["parallel"] = keys.flag("use_parallel_residual")
        found["shared_norm"] = found["parallel"] and known.names is names.LLAMA  # StableLM's
    if not known.rotary:
        found["places"] = found["room"] + found.get("offset", 0)
    _warn(keys)
    return DecoderSpec(**found)


def _activation(keys: Keys) -> str:
    usual, gemmas = keys.get("hidden_act", "silu"), keys.get("hidden_activation")
    key, value = ("hidden_act", usual) if gemmas is None else ("hidden_activation", gemmas)
    return str(keys.choice(key, value, ACTIVATIONS))


def _scales(keys: Keys, width: int, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "attention_cap": keys.maybe_number("attn_logit_softcapping"),
        "logit_cap": keys.maybe_number("final_logit_softcapping"),
    }
    if kind.startswith("gemma"):
        found["embedding_scale"] = width**0.5
    if keys.get("query_pre_attn_scalar") is not None:
        found["attention_scale"] = keys.number("query_pre_attn_scalar") ** -0.5
    if kind == "granite":
        found |= {
            "embedding_scale": keys.number("embedding_multiplier", 1.0),
            "attention_scale": keys.number("attention_multiplier", 1.0),
            "residual_scale": keys.number("residual_multiplier", 1.0),
            "logit_scale": 1 / keys.number("logits_scaling", 1.0),
        }
    return found


def _refuse(keys: Keys, known: Kind) -> None:
    for key, (allowed, why) in REFUSED.items():
        keys.only(key, allowed, why)
    for key, value in keys.values.items():
        if ("expert" in key or "moe" in key) and value not in (None, False, 0, 1, [], {}):
            raise ModelError(f"{keys.path}: {key}: {str(value)[:60]}: a mixture of experts, which is not supported")
    projected, width = keys.get("word_embed_proj_dim"), keys.get("hidden_size")
    if known.names is names.OPT and projected not in (None, width):
        raise ModelError(
            f"{keys.path}: word_embed_proj_dim: {projected}: OPT with projected embeddings, which is not supported"
        )


def _warn(keys: Keys) -> None:
    """Say which keys nobody asked for: those may mean something that is not computed."""
    new = [
        key for key, value in keys.values.items()
        if key not in keys.asked | HARMLESS and value not in (None, False, 0, [], {}, "")
    ]  # fmt: skip
    if new:
        log.warning("%s: taken not to change what is computed: %s", keys.path, ", ".join(sorted(new)))
