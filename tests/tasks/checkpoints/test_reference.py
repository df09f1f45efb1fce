"""Decoders of every kind of model say what transformers says of the same weights, with a cache and without."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.checkpoints import config, load
from tasks.decoder import network
from tests import checkpoints

pytest.importorskip("tf_keras", reason="the training stack is not installed")
CLOSE = 2e-5
ROOM = 40
MORE = ("-old", "-linear", "-sequential", "-parallel")  # of kinds that have a quick one
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name.endswith(MORE) else name for name in checkpoints.names()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def made(folder):
    """Checkpoints by name, each written once."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = load.load(checkpoints.make(folder, name))
        return known[name]

    return of


def apart(model, name):
    found = model(checkpoints.TOKENS[None]).numpy()[0]
    return np.abs(found - checkpoints.logits(name)).max()


def by_parts(model, *lengths):
    """The logits of the tokens, so many at a time, upon what the caches have of those before."""
    from tasks.decoder.cached import cached, empty

    models = {n: cached(model, n, ROOM) for n in set(lengths)}
    state, found, start = empty(models[lengths[0]]), [], 0
    for n in lengths:
        places = np.arange(start, start + n, dtype=np.int32)
        state = dict(models[n]({"tokens": checkpoints.TOKENS[None, places], "input_pos": places, **state}))
        found.append(state.pop("logits").numpy()[0])
        start += n
    return np.concatenate(found)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_transformers(made, name):
    model = made(name).model(checkpoints.LENGTH)
    assert apart(model, name) <= CLOSE
    found = by_parts(model, 16, 16)
    assert np.abs(found - checkpoints.logits(name)).max() <= CLOSE


def test_token_by_token_behind_a_prompt(made):
    model = made("mistral").model()  # its window slides over the cache
    found = by_parts(model, 13, 5, *[1] * 14)
    assert np.abs(found - checkpoints.logits("mistral")).max() <= CLOSE


def layers(spec, **changes):
    return replace(spec, blocks=tuple(replace(block, **changes) for block in spec.blocks))


def rotary(name, **changes):
    """The frequencies of a layer, of a config.json with changes."""
    values = checkpoints.about(name)["config"]
    values = {**values, "rope_parameters": {**values["rope_parameters"], **changes}}
    return config.spec(Path(name), values, checkpoints.VOCABULARY).blocks[0].frequencies


TURNED = {
    "llama": {
        "epsilon": lambda spec: replace(spec, epsilon=1e-3),
        "no places": lambda spec: layers(spec, frequencies=()),
        "not gated": lambda spec: replace(spec, gated=False),
        "tied": lambda spec: replace(spec, tied=True),
        "another norm": lambda spec: replace(spec, norm="layer"),
    },
    "llama-biased": {"no biases": lambda spec: replace(spec, biases=frozenset())},
    "llama-llama3": {"plain": lambda spec: layers(spec, frequencies=rotary("llama-llama3", rope_type="default"))},
    "llama-linear": {"plain": lambda spec: layers(spec, frequencies=rotary("llama-linear", rope_type="default"))},
    "mistral": {"no window": lambda spec: layers(spec, window=None)},
    "qwen2": {"one window for all": lambda spec: replace(spec, blocks=spec.blocks[1:2] * 3)},
    "qwen3": {"no norm of heads": lambda spec: replace(spec, query_norm=None)},
    "gemma": {"embedding": lambda spec: replace(spec, embedding_scale=1.0)},
    "gemma2": {
        "no cap of attention": lambda spec: replace(spec, attention_cap=None),
        "no cap of logits": lambda spec: replace(spec, logit_cap=None),
        "exact gelu": lambda spec: replace(spec, activation="gelu"),
        "scale of attention": lambda spec: replace(spec, attention_scale=12**-0.5),
    },
    "gemma3_text": {
        "one theta": lambda spec: replace(
            spec, blocks=tuple(replace(block, frequencies=spec.blocks[0].frequencies) for block in spec.blocks)
        ),
        "no norms behind": lambda spec: replace(spec, norms="before"),
    },
    "gpt_neox": {"one after the other": lambda spec: replace(spec, parallel=False)},
    "phi": {"all rotated": lambda spec: layers(spec, frequencies=rotary("phi", partial_rotary_factor=1.0))},
    "olmo2": {"norms before": lambda spec: replace(spec, norms="before")},
    "smollm3": {"all know places": lambda spec: replace(spec, blocks=spec.blocks[:1] * 3)},
    "granite": {
        "residual": lambda spec: replace(spec, residual_scale=1.0),
        "logits": lambda spec: replace(spec, logit_scale=1.0),
    },
    "opt": {"offset": lambda spec: replace(spec, offset=0)},
}
QUICK = ("epsilon", "no window", "exact gelu", "one theta", "offset")


@pytest.mark.parametrize(
    ("name", "switch"),
    [
        pytest.param(name, switch, marks=() if switch in QUICK else pytest.mark.slow)
        for name, switches in TURNED.items()
        for switch in switches
    ],
)
def test_a_switch_that_is_turned_wrong_shows(made, name, switch):
    checkpoint = made(name)
    spec = TURNED[name][switch](checkpoint.spec)
    known = dict(checkpoint.weights())
    known |= {key.replace("_after.", "_norm."): value for key, value in known.items() if spec.norms == "before"}
    model = network.build(spec, checkpoints.LENGTH)
    network.fill(model, [(key, known.get(key, np.ones(shape, np.float32))) for key, shape in spec.shapes().items()])
    assert apart(model, name) > 5 * CLOSE
