"""A decoder of one's own sizes: it is a Qwen3, and begins where nothing is known."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tasks import paths
from tasks.checkpoints import config
from tasks.decoder.cached import limit
from tasks.errors import ModelError
from tasks.examples.dataset import Spec, TensorSpec
from tasks.models import transformer
from tasks.params import Params, Quantize, check
from tasks.params.models import Transformer
from tasks.quantize import language
from tasks.training import fit

pytest.importorskip("tf_keras", reason="the training stack is not installed")
LETTERS = 65
ROOT = Path(__file__).resolve().parents[3]


def section(**sizes):
    return Transformer.model_validate({"family": "transformer"} | sizes)


def data(task="language", length=24):
    return Spec({"text": TensorSpec((length,), "int32", LETTERS)}, tuple(map(str, range(LETTERS))), task)


@pytest.fixture(scope="module")
def made():
    fit.reset(0)
    return transformer.build(section(), data())


def test_it_is_what_a_config_of_qwen3_describes():
    values = {
        "model_type": "qwen3", "vocab_size": LETTERS, "hidden_size": 96, "intermediate_size": 256,
        "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16,
        "rms_norm_eps": 1e-6, "max_position_embeddings": 40, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": True,
    }  # fmt: skip
    ours = transformer.described(section(width=96, layers=3, heads=6, kv_heads=2, tied=True), LETTERS, 40)
    assert ours == config.spec(Path("config.json"), values, LETTERS)


def test_it_has_the_parameters_of_the_usual_character_model(made):
    assert made.count_params() == 808_576


def test_a_text_goes_on_behind_a_window(made):
    entry = Quantize(model="baseline", scheme="float32")
    assert limit(made) == 48
    assert language.plan(made, entry) == ((24,), 48)


def test_it_begins_where_each_token_is_as_likely_and_no_layer_drowns_another(made):
    import tf_keras as keras

    tokens = np.random.default_rng(0).integers(0, LETTERS, (16, 25))
    loss = keras.losses.sparse_categorical_crossentropy(tokens[:, 1:], made(tokens[:, :-1]), from_logits=True)
    assert float(loss.numpy().mean()) == pytest.approx(np.log(LETTERS), abs=0.1)
    values = [keras.Model(made.input, made.get_layer(f"layer_{i}_value").output)(tokens[:, :-1]) for i in range(4)]
    assert all(0.5 < float(np.std(each)) < 2 for each in values)


def test_no_token_is_told_by_those_behind_it(made):
    tokens = np.random.default_rng(1).integers(0, LETTERS, (2, 24))
    other = tokens.copy()
    other[:, 10:] = (other[:, 10:] + 1) % LETTERS
    one, two = made(tokens).numpy(), made(other).numpy()
    np.testing.assert_allclose(one[:, :10], two[:, :10], atol=1e-6)
    assert np.abs(one[:, 10:] - two[:, 10:]).max() > 1e-3


def test_of_a_classification_it_tells_the_token_behind_the_window(made):
    fit.reset(0)
    model = transformer.build(section(), data("classification"))
    tokens = np.random.default_rng(2).integers(0, LETTERS, (3, 24))
    scores = np.exp(made(tokens).numpy()[:, -1].astype(np.float64))
    np.testing.assert_allclose(model(tokens).numpy(), scores / scores.sum(axis=1, keepdims=True), atol=1e-6)


def test_sizes_and_data_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="width: a multiple of twice the heads expected, 8; received 130"):
        section(width=130)
    with pytest.raises(ValueError, match="kv_heads: a divisor of the heads expected, 4; received 3"):
        section(kv_heads=3)
    with pytest.raises(ModelError, match=r"family transformer takes one input of tokens, and tells the next one; .* x"):
        transformer.build(section(), Spec({"x": TensorSpec((4,), "float32")}, ("a", "b")))


@pytest.mark.parametrize("name", ["lm-bpe", "lm-char"])
def test_what_a_preset_quantizes_in_blocks_is_divided_by_them(name):
    preset = check(Params, yaml.safe_load((ROOT / paths.PRESETS / f"{name}.yaml").read_text()), Path(name))
    spec = transformer.described(preset.model, LETTERS, 1)
    for entry in preset.quantize.values():
        assert not any(size % (entry.block or 1) for size in (spec.width, spec.hidden))
