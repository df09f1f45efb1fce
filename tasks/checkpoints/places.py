"""What config.json says of places: rotary frequencies and windows, layer by layer."""

from collections.abc import Mapping
from typing import Any

from tasks.checkpoints.keys import Keys
from tasks.decoder.rotary import SCALINGS, plain, scaled
from tasks.decoder.spec import Block
from tasks.errors import ModelError

FULL, SLIDING = "full_attention", "sliding_attention"
THETA = 10_000.0
LOCAL_THETA = "rope_local_base_freq"


def blocks(keys: Keys, layers: int, head_width: int, *, rotary: bool) -> tuple[Block, ...]:
    """Each layer's frequencies and window.

    Raises:
        ModelError: a scaling is asked for that is not supported, or a value is none that may be.
    """
    if not rotary:
        return (Block(),) * layers
    kinds = _kinds(keys, layers)
    window = keys.count("sliding_window") if SLIDING in kinds else None
    keys.get("sliding_window")
    frequencies = {kind: _frequencies(keys, kind, head_width) for kind in sorted(set(kinds))}
    turned = _turned(keys, layers)
    return tuple(
        Block(frequencies[kind] if turns else (), window if kind == SLIDING else None)
        for kind, turns in zip(kinds, turned, strict=True)
    )


def _kinds(keys: Keys, layers: int) -> list[str]:
    """Which layers have a window; without a list of them each kind of model has its rule."""
    kind, last = keys.values["model_type"], keys.get("max_window_layers", 28)
    on = keys.get("sliding_window") is not None and keys.flag("use_sliding_window", default=True)
    pattern = keys.count("sliding_window_pattern", 6)
    if not isinstance(last, int):
        raise keys.wrong("max_window_layers", last, "a whole number")
    told = keys.row("layer_types", layers, (FULL, SLIDING))
    if kind not in ("mistral", "phi3", "starcoder2", "qwen2", "qwen3", "smollm3", "gemma2", "gemma3_text"):
        return [FULL] * layers
    if kind in ("mistral", "phi3", "starcoder2"):
        return [SLIDING if on else FULL] * layers
    if told is not None:
        return told if on else [FULL] * layers
    if kind == "smollm3":
        return [SLIDING if on and not turns else FULL for turns in _turned(keys, layers)]
    rules: dict[str, Any] = {
        "gemma2": lambda i: (i + 1) % 2,
        "gemma3_text": lambda i: (i + 1) % pattern,
    }
    rule = rules.get(kind, lambda i: i >= last)
    return [SLIDING if on and rule(i) else FULL for i in range(layers)]


def _turned(keys: Keys, layers: int) -> list[bool]:
    """Which layers know of places: SmolLM3 leaves every fourth out."""
    if keys.values["model_type"] != "smollm3":
        return [True] * layers
    told = keys.row("no_rope_layers", layers, (0, 1))
    every = keys.count("no_rope_layer_interval", 4)
    return [bool(turns) for turns in told] if told is not None else [(i + 1) % every != 0 for i in range(layers)]


def _frequencies(keys: Keys, kind: str, head_width: int) -> tuple[float, ...]:
    known = _rope(keys, kind)
    share = known.number("partial_rotary_factor", keys.get("partial_rotary_factor", 1.0))
    width = int(head_width * share)
    if share > 1 or width < 2 or width % 2:
        raise known.wrong("partial_rotary_factor", share, f"a share of {head_width} numbers that is even")
    found = plain(known.number("rope_theta", THETA), width)
    name = known.get("rope_type", known.get("type", "default"))
    if name != "default":
        _, wanted = SCALINGS[known.choice("rope_type", name, {"default": "default", **{key: key for key in SCALINGS}})]
        if name == "llama3" and known.get("original_max_position_embeddings") is None:
            room = keys.get("original_max_position_embeddings", keys.get("max_position_embeddings"))
            known = known.inner("rope", {**known.values, "original_max_position_embeddings": room})
        numbers = {key: known.number(key) for key in wanted.values()}
        if name == "llama3" and numbers["high_freq_factor"] <= numbers["low_freq_factor"]:
            raise known.wrong("high_freq_factor", numbers["high_freq_factor"], "more than low_freq_factor")
        found = scaled(name, found, numbers)
    return tuple(found.tolist())


def _rope(keys: Keys, kind: str) -> Keys:
    """What is said of a kind of layer, by transformers 5 (`rope_parameters`) or before it (`rope_theta`, …)."""
    newer, older = keys.get("rope_parameters"), keys.get("rope_scaling")
    theta, local = keys.get("rope_theta", THETA), keys.get(LOCAL_THETA, THETA)
    gemma3 = keys.values["model_type"] == "gemma3_text"
    if newer is None:
        if gemma3 and kind == SLIDING:
            return keys.inner(LOCAL_THETA, {"rope_theta": local})
        if gemma3:
            theta = keys.get("rope_theta", 1e6)
        older = {} if older is None else keys.inner("rope_scaling", older).values
        return keys.inner("rope_scaling", {"rope_theta": theta, **older})
    values: Mapping[str, Any] = keys.inner("rope_parameters", newer).values
    if any(isinstance(value, Mapping) for value in values.values()):
        if not isinstance(values.get(kind), Mapping):
            raise ModelError(f"{keys.path}: rope_parameters: no {kind}, which it has layers of")
        default = 1e6 if gemma3 and kind == FULL else theta
        values = {"rope_theta": default, **values[kind]}
    return keys.inner("rope_parameters", {"rope_theta": theta, **values})
