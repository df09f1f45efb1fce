"""The peer of `lm_gpu.py` in a process of its own, where nothing of PyTorch meets jaxlib."""

import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from typing import Any

import lm_peer
import torch
from lm_common import QUEUED, prompt_of, random_weights, settled, timed
from lm_sizes import PROMPT, ROOM, SIZES, STEPS, THETA

TUNED = {"coordinate_descent_tuning": True}
TRIES: dict[tuple[str, int], dict[str, Any]] = {
    ("decode", 1): {"plain": ("plain", TUNED)},
    ("decode", 8): {"flex": ("flex", TUNED)},  # plain products with `max_autotune` took 1.86 ms for 1.60
    ("decode", 64): {"flex": ("flex", TUNED)},  # likewise 2.30 for 1.98
    ("prompt", 1): {"flash": ("plain", {})},
    ("prompt", 8): {"flash": ("plain", {})},
}


class Peer:
    """PyTorch in a process of its own: the best of what is tried for a row."""

    def __init__(self, model: str, about: dict[str, Any]) -> None:
        context = get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there, model, about), daemon=True)
        self._process.start()
        self._here.recv()  # it has its weights, and is quiet

    def ask(self, *request: Any) -> Any:
        self._here.send(request)
        return self._here.recv()

    def end(self) -> None:
        self._here.send(("end",))
        self._process.join(timeout=30)


def serve(pipe: Any, model: str, about: dict[str, Any]) -> None:
    """Answer until the end: `make` a row's step or prompt, `window` of the one that was made."""
    sys.stdout = sys.stderr  # of which what tuning says is left out
    size, weights = SIZES[model], random_weights(about)
    side: Any = None
    pipe.send("ready")
    while (request := pipe.recv())[0] != "end":
        if request[0] == "window":
            pipe.send(side(request[1]))
            continue
        side = None
        torch.cuda.empty_cache()
        side, tried = tuned(size, weights, *request[1:])
        pipe.send(tried)


def tuned(size: Any, weights: dict[str, Any], batch: int, kind: str) -> tuple[Any, dict[str, Any]]:
    """The fastest of the tries, and what each took."""
    tried: dict[str, Any] = {}
    best: Any = None
    for name, (attention, options) in TRIES[kind, batch].items():
        torch._dynamo.reset()
        start = time.perf_counter()
        decoder = lm_peer.Decoder(size, weights, batch, ROOM, THETA, attention)
        tokens = prompt_of(size, batch)
        call = decoder.step if kind == "decode" else partial(decoder.prompt, tokens)
        try:
            replay, _ = lm_peer.graphed(call, options)
        except Exception as error:  # whatever the compiler says of it, the others are tried
            tried[name] = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
            continue
        compile_s, count = time.perf_counter() - start, STEPS if kind == "decode" else QUEUED
        side = partial(timed, partial(begin, decoder), partial(replayed, replay, count))
        ms = 1e3 * settled(side) / count
        tried[name] = {"ms": ms, "compile_s": compile_s, "options": options, "attention": attention}
        if best is None or ms < best[0]:
            best = (ms, side)
    return best and best[1], tried


def begin(decoder: Any) -> None:
    """Back to the place where decoding begins."""
    decoder.position.fill_(PROMPT)
    decoder.token.copy_(torch.arange(decoder.batch, device="cuda"))
    torch.cuda.synchronize()


def replayed(replay: Callable[[], None], count: int) -> None:
    """A graph so often, to its end."""
    for _ in range(count):
        replay()
    torch.cuda.synchronize()
