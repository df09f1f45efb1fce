"""Whether what a server answers, and how fast, is still what it was: ADWIN over its counts, by the package `river`.

Bifet and Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing" (2007): a window of what came is kept as
long as no two parts of it differ by more than chance allows. It is first given what the bundle says of itself; a change
is told where the means before and after it differ.
"""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tasks.errors import DataError
from tasks.serve.counts import EDGES_S, SHARES

SURE = 0.002  # the chance of a false alarm at each look, as ADWIN bounds it, which all labels share
FEWEST = 10  # windows
SPAN = math.log(EDGES_S[-1] / EDGES_S[0])


@dataclass(frozen=True)
class Drift:
    """A signal that has changed."""

    signal: str  # "latency", "score", or "label NAME"
    before: float  # ms, score or share
    after: float
    answers: int  # after which it was seen

    def __str__(self) -> str:
        unit = " ms" if self.signal == "latency" else ""
        return f"{self.signal}: {self.before:.3g}{unit} → {self.after:.3g}{unit}, seen after {self.answers:,} answers"


def found(windows: list[dict[str, Any]], reference: dict[str, Any] | None) -> list[Drift]:
    """The signals that have changed, each at its first change.

    Args:
        windows: what a server has counted, the oldest first, as `Counts.windows` gives it.
        reference: of a bundle, `labels`: how often it answered each where it was judged. None: it does not say; then
            the first windows stand for it, as they do for scores and latency in any case: how long a model takes in a
            server is not how long it takes alone.

    Raises:
        DataError: `river` is not installed, or there are too few windows to tell.
    """
    if len(windows) < FEWEST:
        raise DataError(f"{len(windows)} windows of answers are too few to tell; {FEWEST} or more are needed")
    labels = sorted(
        {name for window in windows for name in window["labels"]} | set((reference or {}).get("labels", {}))
    )
    signals = [
        _changed("latency", (_times(window["invoke"]) for window in windows), windows, 1),
        _changed("score", (_shares(window["scores"]) for window in windows), windows, 1),
    ]
    for name in labels:
        before = _before(reference, name)
        told = (_hits(window["labels"].get(name, 0), window["answers"]) for window in windows)
        signals.append(_changed(f"label {name}", told, windows, len(labels), before))
    return [each for each in signals if each is not None]


def _changed(
    signal: str,
    values: Iterable[list[float]],
    windows: list[dict[str, Any]],
    signals: int,
    before: Iterable[float] = (),
) -> Drift | None:
    """The first change of a signal between 0 and 1, window by window; `before` stands for what was."""
    detector, seen = _adwin(SURE / signals), 0
    for value in before:
        detector.update(value)
    draws = random.Random(0)  # noqa: S311 - a window says how often, not in which order
    for given, window in zip(values, windows, strict=True):
        draws.shuffle(given)
        was = detector.estimation
        for value in given:
            detector.update(value)
            if detector.drift_detected:
                return Drift(signal, _shown(signal, was), _shown(signal, sum(given) / len(given)), seen)
        seen += window["answers"]
    return None


def _adwin(delta: float) -> Any:
    try:
        from river.drift import ADWIN
    except ImportError:
        raise DataError("river is not installed, by which changes are found: pip install river") from None
    make: Any = ADWIN  # river says little of its types
    return make(delta=delta)


def _before(reference: dict[str, Any] | None, name: str) -> list[float]:
    known = (reference or {}).get("labels", {})
    hits = _hits(known.get(name, 0), sum(known.values()))
    random.Random(0).shuffle(hits)  # noqa: S311 - likewise
    return hits


def _hits(number: int, of: int) -> list[float]:
    return [1.0] * number + [0.0] * (of - number)


def _shares(buckets: list[int]) -> list[float]:
    return [(place + 0.5) / SHARES for place, number in enumerate(buckets) for _ in range(number)]


def _times(buckets: list[int]) -> list[float]:
    """Latencies as their logarithms from 0 to 1, as far as buckets tell them."""
    edges = (*EDGES_S, EDGES_S[-1])
    return [math.log(edges[place] / EDGES_S[0]) / SPAN for place, number in enumerate(buckets) for _ in range(number)]


def _shown(signal: str, value: float) -> float:
    return EDGES_S[0] * math.exp(value * SPAN) * 1e3 if signal == "latency" else value


def lines(windows: list[dict[str, Any]], drifts: list[Drift]) -> Iterator[str]:
    """What is told of it all."""
    answers = sum(window["answers"] for window in windows)
    yield f"{answers:,} answers in {len(windows)} windows: " + ("no change" if not drifts else "changed:")
    yield from map(str, drifts)
