"""Make `tests/golden/checkpoints/` anew: what transformers says of tiny random checkpoints of every kind of model.

    python tests/tasks/checkpoints/make_reference.py        by transformers 5.24.0 and torch 2.13.0 (CPU), float32

Neither is among what Tercet installs. Weights are not kept: `tests/checkpoints.py` makes them from numbers.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests import checkpoints

SMALL = {
    "vocab_size": checkpoints.VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": None,
    "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
}  # fmt: skip
WHOLE = {**SMALL, "num_key_value_heads": 4}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 24}  # fmt: skip
NEOX = {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
GPT2 = {"vocab_size": 96, "n_embd": 32, "n_inner": 48, "n_layer": 2, "n_head": 4, "n_positions": 64,
        "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
FULL, SLIDING = "full_attention", "sliding_attention"
GEMMA3 = {**SMALL, "head_dim": 12, "query_pre_attn_scalar": 40, "sliding_window": 7, "num_hidden_layers": 3,
          "tie_word_embeddings": True}  # fmt: skip
CASES = {
    "llama": ("llama", SMALL),
    "llama-biased": (
        "llama",
        {**SMALL, "attention_bias": True, "mlp_bias": True, "head_dim": 12, "rms_norm_eps": 0.02},
    ),
    "llama-llama3": ("llama", {**SMALL, "rope_parameters": {**LLAMA3, "rope_theta": 500.0}}),
    "llama-linear": ("llama", {**SMALL, "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 50.0}}),
    "smollm2": (
        "llama",
        {**SMALL, "tie_word_embeddings": True, "rope_parameters": {"rope_theta": 1e5, "rope_type": "default"}},
    ),
    "mistral": ("mistral", {**SMALL, "sliding_window": 8}),
    "qwen2": (
        "qwen2",
        {**SMALL, "num_hidden_layers": 3, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {**SMALL, "head_dim": 12}),
    "gemma": ("gemma", {**SMALL, "head_dim": 12, "tie_word_embeddings": True}),
    "gemma2": (
        "gemma2",
        {
            **SMALL,
            "head_dim": 12,
            "query_pre_attn_scalar": 40,
            "sliding_window": 7,
            "tie_word_embeddings": True,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
    ),
    "gemma3_text": (
        "gemma3_text",
        {
            **GEMMA3,
            "layer_types": [SLIDING, FULL, SLIDING],
            "rope_parameters": {
                SLIDING: {"rope_type": "default", "rope_theta": 20.0},
                FULL: {"rope_type": "linear", "factor": 2.0, "rope_theta": 900.0},
            },
        },
    ),
    "gpt2": ("gpt2", GPT2),
    "gpt_neox": ("gpt_neox", NEOX),
    "gpt_neox-sequential": ("gpt_neox", {**NEOX, "use_parallel_residual": False}),
    "phi": ("phi", SMALL),
    "phi3": ("phi3", {**SMALL, "sliding_window": 9, "pad_token_id": 0}),
    "stablelm": ("stablelm", WHOLE),
    "stablelm-parallel": ("stablelm", {**WHOLE, "use_parallel_residual": True, "use_qkv_bias": True}),
    "olmo2": ("olmo2", SMALL),
    "smollm3": ("smollm3", {**SMALL, "num_hidden_layers": 3, "no_rope_layers": [1, 0, 1], "tie_word_embeddings": True}),
    "granite": (
        "granite",
        {
            **SMALL,
            "embedding_multiplier": 3.0,
            "attention_multiplier": 0.2,
            "residual_multiplier": 0.7,
            "logits_scaling": 2.5,
        },
    ),
    "starcoder2": ("starcoder2", {**SMALL, "sliding_window": 8, "tie_word_embeddings": True}),
    "opt": (
        "opt",
        {
            "vocab_size": 96,
            "hidden_size": 32,
            "ffn_dim": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
            "word_embed_proj_dim": 32,
        },
    ),
}
OLD = {  # as config.json was written before transformers 5
    "llama-llama3-old": {**SMALL, "model_type": "llama", "rope_theta": 500.0, "rope_scaling": LLAMA3},
    "llama-linear-old": {**SMALL, "model_type": "llama", "rope_scaling": {"type": "linear", "factor": 3.0}},
    "gpt_neox-old": {**NEOX, "model_type": "gpt_neox", "rotary_pct": 0.5, "rotary_emb_base": 300},
    "phi-old": {**SMALL, "model_type": "phi", "rope_theta": 300.0, "partial_rotary_factor": 0.5},
    "gemma3_text-old": {
        **GEMMA3,
        "model_type": "gemma3_text",
        "num_hidden_layers": 4,
        "sliding_window_pattern": 3,
        "rope_theta": 900.0,
        "rope_local_base_freq": 20.0,
    },
}


def reference(config: dict, folder: Path) -> tuple[dict, np.ndarray]:
    """The names and shapes of the tensors as transformers saves them, and its logits."""
    (folder / "config.json").write_text(json.dumps(config))
    known = AutoConfig.from_pretrained(folder)
    AutoModelForCausalLM.from_config(known).save_pretrained(folder / "saved")
    with safe_open(folder / "saved" / "model.safetensors", framework="numpy") as file:
        tensors = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    checkpoints.write(folder, config, tensors)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():
        found = model(torch.tensor(checkpoints.TOKENS[None], dtype=torch.long)).logits[0].numpy()
    return tensors, found


def main() -> None:
    made, logits = {}, {}
    configs = {name: AutoConfig.for_model(kind, **keys).to_dict() for name, (kind, keys) in CASES.items()} | OLD
    for name, config in configs.items():
        with tempfile.TemporaryDirectory() as folder:
            tensors, logits[name] = reference(config, Path(folder))
        made[name] = {"config": config, "tensors": tensors}
    checkpoints.GOLDEN.mkdir(parents=True, exist_ok=True)
    (checkpoints.GOLDEN / "checkpoints.json").write_text(json.dumps(made, indent=0, sort_keys=False) + "\n")
    np.savez_compressed(checkpoints.GOLDEN / "logits.npz", **logits)


if __name__ == "__main__":
    main()
