"""A GGUF file of the tiny llama, as llama.cpp's converter lays it out."""

import numpy as np
import pytest

from tests import checkpoints

NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm", "model.layers": "blk",
}  # fmt: skip


def permuted(rows, heads):
    """As convert_hf_to_gguf.py's `permute`: the halves of each head become neighbours."""
    shape = (heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return rows.reshape(shape).swapaxes(1, 2).reshape(rows.shape)


def in_gguf(name, values):
    for theirs, own in NAMES.items():
        name = name.replace(theirs, own)
    heads = {"attn_q": 4, "attn_k": 2}.get(name.split(".")[2] if name.startswith("blk") else "")
    return name, permuted(values, heads) if heads else values


def tell(writer, told):
    """Say more, or something else than before: a list becomes one of its own items' type."""
    from gguf import GGUFValueType

    for key, value in told.items():
        writer.kv_data[0].pop(key, None)
        if value is not None:
            writer.add_key_value(key, value, GGUFValueType.get_type(value))


@pytest.fixture
def gguf_file(tmp_path):
    """Write it: `make(quantization=None, architecture="llama", keys={}, drop=(), instead={}, tokens=96, told={})`.

    `keys` are whole numbers of the architecture's; `told` is what else it says by whole names, None: not at all.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    def make(quantization=None, architecture="llama", keys=(), drop=(), instead=None, tokens=96, told=None):
        path, known = tmp_path / "model.gguf", checkpoints.about("llama")["tensors"]
        writer = GGUFWriter(path, architecture)
        writer.add_context_length(64)
        writer.add_embedding_length(32)
        writer.add_block_count(2)
        writer.add_feed_forward_length(48)
        writer.add_head_count(4)
        writer.add_head_count_kv(2)
        writer.add_layer_norm_rms_eps(1e-6)
        writer.add_rope_freq_base(10_000.0)
        writer.add_rope_dimension_count(8)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("smollm")
        words = ["l", "o", "w", "lo", "low", "1", "2", "<end>"]
        words += [f"t{i}" for i in range(tokens - len(words))]
        writer.add_token_list(words)
        writer.add_token_types([3 if word == "<end>" else 1 for word in words])
        writer.add_token_merges(["l o", "lo w"])
        writer.add_eos_token_id(words.index("<end>"))
        for key, value in keys:
            writer.add_uint32(f"{architecture}.{key}", value)
        tell(writer, told or {})
        weights = [in_gguf(name, checkpoints.weight(name, shape)) for name, shape in known.items()]
        for own, values in (dict(weights) | (instead or {})).items():
            if own in drop:
                continue
            values = np.ascontiguousarray(values)
            if quantization and values.ndim == 2 and values.shape[1] % 32 == 0:
                kind = GGMLQuantizationType[quantization]
                writer.add_tensor(own, quants.quantize(values, kind), raw_dtype=kind)
            else:
                writer.add_tensor(own, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return make
