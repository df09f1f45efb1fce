"""A model that takes several examples in one call, where its file allows that and it pays."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.serve.bundle import Bundle

SIZE = 8  # examples in one call
TRIES = 5
RELATIVE, ABSOLUTE = 1e-4, 1e-5  # of what a call of several may differ from single ones: another order of sums


@dataclass(frozen=True)
class Wide:
    """The same program with a batch axis of `SIZE`."""

    model: Any
    worth: int  # from so many examples on one call costs less than single ones


def alone_s(model: Any) -> float:
    """Seconds that one call takes, where nothing else is in its way."""
    example = _drawn(model, 0)
    return min(_timed(model, example)[0] for _ in range(TRIES))


def widened(bundle: Bundle, model: Any, threads: int) -> Wide | None:
    """The program for several examples at once; None: its file does not allow it, it answers otherwise, or costs more.

    Args:
        bundle: what is served.
        model: its program for one.
        threads: of it.
    """
    wide = _resized(bundle, model, threads)
    if wide is None:
        return None
    singles = [_drawn(model, seed) for seed in range(SIZE)]
    together = joined(singles)
    one_s, apart = min((_timed(model, singles[-1]) for _ in range(TRIES)), key=lambda found: found[0])
    all_s, found = min((_timed(wide, together) for _ in range(TRIES)), key=lambda found: found[0])
    alike = all(np.allclose(whole[-1:], single, RELATIVE, ABSOLUTE) for whole, single in zip(found, apart, strict=True))
    worth = int(all_s / one_s) + 1
    return Wide(wide, worth) if alike and worth <= SIZE else None


def joined(examples: list[Any]) -> Any:
    """`SIZE` examples as one; where there are fewer, the last stands for those that are missing."""
    filled = examples + examples[-1:] * (SIZE - len(examples))
    return [(call, np.concatenate([example[k][1] for example in filled])) for k, (call, _) in enumerate(filled[0])]


def _resized(bundle: Bundle, model: Any, threads: int) -> Any | None:
    runtime = bundle.program["module"]
    if runtime == "onnxruntime":
        free = all(isinstance(each.shape[0], str | None) for each in model.session.get_inputs())
        return model if free else None
    if runtime != "litert" or any(about["shape_signature"][0] != -1 for about in model.inputs.values()):
        return None
    wide = bundle.model(threads)
    try:
        for about in wide.inputs.values():
            wide.interpreter.resize_tensor_input(about["index"], (SIZE, *about["shape"][1:]), strict=True)
        wide.interpreter.allocate_tensors()
    except (RuntimeError, ValueError):
        return None
    return wide


def _drawn(model: Any, seed: int) -> list[Any]:
    """An example in the model's types: noise; zeros of what are numbers of something."""
    draws = np.random.default_rng(seed)
    columns = {}
    for name, about in model.inputs.items():
        shape = (1, *_shape(model, about)[1:])
        floats = np.dtype(about["dtype"]).kind == "f" or about["quantization"][0]
        columns[name] = draws.random(shape, np.float32) if floats else np.zeros(shape, about["dtype"])
    return list(model.prepare(columns)[0])


def _shape(model: Any, about: dict[str, Any]) -> Any:
    if "shape" in about:
        return about["shape"]
    return next(each.shape for each in model.session.get_inputs() if each.name == about["call"])


def _timed(model: Any, example: Any) -> tuple[float, list[Any]]:
    """Seconds of one call, and its outputs as real numbers."""
    model.put(example)
    began = time.perf_counter()
    model.invoke()
    rows = model.read()
    took_s = time.perf_counter() - began
    return took_s, list(model.floats([rows]).values())
