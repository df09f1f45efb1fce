"""How an artifact is driven: the phases of a scenario, each with its own runs, clock, counters and unit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import speculation
from .arrays import Example, Model


@dataclass(frozen=True)
class Phase:
    """What is run back to back in one window: of `driven`, which puts, invokes and reads as a model does."""

    driven: Any
    examples: list[Example]
    unit: str  # what its figures are per
    volume: int = 1  # so many units in each run
    period: int = 1  # runs that make a round, of which no other part does the same work


def single(model: Model, examples: list[Example], _request: dict[str, Any]) -> dict[str, Phase]:
    """One call on one example."""
    return {"infer": Phase(model, examples, "inference")}


def generate(model: Any, examples: list[Example], request: dict[str, Any]) -> dict[str, Phase]:
    """A prompt up to the first scores, and after the first of the prompts `new_tokens` tokens, one by one.

    The model is of a runtime whose `Model` has `decoding`.
    """
    decoding = model.decoding(examples[0], request["new_tokens"])
    return {
        "prefill": Phase(model, examples, "token", volume=len(examples[0][0][1])),
        "decode": Phase(decoding, decoding.examples, "token", period=request["new_tokens"]),
    }


def speculate(model: Any, examples: list[Example], request: dict[str, Any]) -> dict[str, Phase]:
    """Whole texts behind the first `prompts`, by a model alone and with a draft's proposals: see `speculation`.

    With `turned` the windows stand the other way round.
    """
    prompts = examples[: request["prompts"]]
    plain, speculated = speculation.both(model, prompts, request)
    numbers: list[Any] = list(range(len(prompts)))  # of which each run takes one
    phases = {
        name: Phase(driven, numbers, "token", volume=request["new_tokens"], period=len(numbers))
        for name, driven in (("plain", plain), ("speculated", speculated))
    }
    return dict(reversed(phases.items())) if request["turned"] else phases


SCENARIOS: dict[str, Callable[[Any, list[Example], dict[str, Any]], dict[str, Phase]]] = {
    "single": single,
    "generate": generate,
    "speculate": speculate,
}
