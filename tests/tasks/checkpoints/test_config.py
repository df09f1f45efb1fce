"""config.json: what it says by old words and new ones, and what is refused by name."""

import logging
from pathlib import Path

import numpy as np
import pytest

from tasks.checkpoints import config
from tasks.errors import ModelError
from tests import checkpoints

PATH = Path("some/config.json")


def spec(values):
    return config.spec(PATH, values, checkpoints.VOCABULARY)


def of(name, **changes):
    return {**checkpoints.about(name)["config"], **changes}


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("llama-llama3", "llama-llama3-old"),
        ("llama-linear", {"rope_scaling": {"type": "linear", "factor": 3.0}, "rope_theta": 50.0}),
        ("gpt_neox", {"rotary_pct": 0.25, "rotary_emb_base": 10_000}),
        ("phi", {"partial_rotary_factor": 0.5, "rope_theta": 10_000.0}),
        ("stablelm", {"partial_rotary_factor": 0.25}),
        ("smollm3", {"rope_theta": 2e6}),
    ],
)
def test_old_words_and_new_ones_say_the_same(name, old):
    values = of(name)
    old = of(old) if isinstance(old, str) else {**values, **old}
    assert spec({key: value for key, value in old.items() if key != "rope_parameters"}) == spec(values)


def test_a_checkpoint_of_gemma_3_has_two_speeds_in_old_words_too():
    blocks = spec(of("gemma3_text-old")).blocks
    assert [block.window for block in blocks] == [7, 7, None, 7]
    thetas = [(block.frequencies[1] / block.frequencies[0]) ** -6 for block in blocks]  # of 12 numbers of a head
    assert thetas == pytest.approx([20, 20, 900, 20], rel=1e-5)


def test_what_a_config_leaves_out_is_as_the_kind_of_model_has_it():
    for name in ("gemma2", "gpt2", "opt", "stablelm", "starcoder2", "smollm3"):
        values = of(name)
        left_out = {"tie_word_embeddings", "hidden_activation", "hidden_act", "activation_function", "layer_norm_eps"}
        given = {key: value for key, value in values.items() if key not in left_out}
        assert spec(given) == spec(values), name


REFUSED = {
    "an unknown kind": ({"model_type": "mamba"}, "model_type 'mamba' is not supported; allowed: gemma, .* starcoder2"),
    "a near one": ({"model_type": "lama"}, "did you mean 'llama'"),
    "no kind": ({"model_type": None}, "model_type 'None' is not supported"),
    "code": ({"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}, "auto_map: .*modeling_x.X.*: code .* never run"),
    "yarn": ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope_type: 'yarn' is not supported; allowed"),
    "longrope": ({"rope_scaling": {"type": "longrope"}, "rope_parameters": None}, "'longrope' is not supported"),
    "dynamic": ({"rope_scaling": {"type": "dynamic", "factor": 2}, "rope_parameters": None}, "'dynamic' is not supp"),
    "experts": ({"num_local_experts": 8}, "num_local_experts: 8: a mixture of experts, which is not supported"),
    "latent attention": ({"kv_lora_rank": 512}, "multi-head latent attention, which is not supported"),
    "ALiBi": ({"alibi": True}, "alibi: True: ALiBi, which is not supported"),
    "pairs": ({"rope_interleaved": True}, "rope_interleaved: True: rotary pairs side by side"),
    "an activation": ({"hidden_act": "quick_gelu"}, "hidden_act: 'quick_gelu' is not supported; allowed: gelu"),
    "quantized": ({"quantization_config": {"bits": 4}}, "quantization_config: .*: weights in a format of their own"),
    "no number": ({"hidden_size": "many"}, "hidden_size: a whole number above 0 expected; received many"),
    "a negative one": ({"num_hidden_layers": -1}, "num_hidden_layers: a whole number above 0 .* received -1"),
    "no finite one": ({"rms_norm_eps": float("nan")}, "rms_norm_eps: a number above 0 expected; received nan"),
    "heads": ({"num_key_value_heads": 3}, "num_key_value_heads: a divisor of the 4 heads expected; received 3"),
    "rope": ({"rope_parameters": [1]}, "rope_parameters: a table expected; received"),
    "a scaling without its factor": (
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}},
        "rope_parameters: factor: a number above 0 expected; received None",
    ),
    "layers without end": ({"num_hidden_layers": 1 << 30}, "num_hidden_layers: .* up to 4,096 expected"),
    "a head without end": ({"head_dim": 1 << 30}, "head_dim: .* up to 4,096 expected; received 1073741824"),
    "a slope of no width": (
        {"rope_parameters": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}},
        "high_freq_factor: more than low_freq_factor expected; received 4",
    ),
    "a pattern of no layers": ({"sliding_window_pattern": 0}, "sliding_window_pattern: a whole number above 0 exp"),
    "an odd share": (
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.4}},
        "partial_rotary_factor: a share of 8 numbers that is even expected; received 0.4",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_supported_is_refused_in_one_line(case):
    changes, told = REFUSED[case]
    with pytest.raises(ModelError, match=told) as error:
        spec(of("llama", **changes))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(PATH))


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("phi", {"qk_layernorm": True}, "qk_layernorm: True: norms of queries and keys in this kind of model"),
        ("opt", {"do_layer_norm_before": False}, "OPT's norms behind"),
        ("opt", {"word_embed_proj_dim": 16}, "OPT with projected embeddings"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "a scale for each layer"),
        (
            "qwen2",
            {"layer_types": ["full_attention"]},
            "layer_types: a list of 3, one for each layer, of full_attention",
        ),
        ("qwen2", {"layer_types": None, "max_window_layers": "all"}, "max_window_layers: a whole number expected; rec"),
        ("gemma3_text", {"layer_types": ["linear_attention"] * 3}, "layer_types: a list of 3"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "attention to what comes later"),
    ],
)
def test_switches_of_one_kind_are_refused_by_name(name, changes, told):
    with pytest.raises(ModelError, match=told):
        spec(of(name, **changes))


def test_a_key_that_nobody_knows_is_told(caplog):
    with caplog.at_level(logging.WARNING):
        spec(of("llama", hyper_scale=3, use_cache=True, is_llama_config=True))
    assert [record.getMessage() for record in caplog.records] == [
        "some/config.json: taken not to change what is computed: hyper_scale"
    ]


def test_every_reference_is_read_without_a_word(caplog):
    with caplog.at_level(logging.WARNING):
        for name in checkpoints.names():
            spec(of(name))
    assert not caplog.records


def test_llama3s_scaling_leaves_fast_pairs_slows_slow_ones_and_slopes_between():
    theirs = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 24}
    values = of("llama", head_dim=32, rope_parameters={"rope_type": "llama3", "rope_theta": 500.0, **theirs})
    plain = 500.0 ** (-np.arange(16) / 16)
    found = np.array(spec(values).blocks[0].frequencies) / plain
    wavelengths = 2 * np.pi / plain
    assert found[wavelengths < 6] == pytest.approx(1, rel=1e-6)
    assert found[wavelengths > 24] == pytest.approx(1 / 8, rel=1e-6)
    between = found[(wavelengths > 6) & (wavelengths < 24)]
    assert len(between) > 2
    assert ((between > 1 / 8) & (between < 1)).all()
