"""What a server counts while it serves: times of each step and what it answered, in buckets and windows.

Counting takes a microsecond; what the counts say is worked out by who asks for them.
"""

import time
from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

STEPS = ("queue", "decode", "invoke", "encode")
EDGES_S = tuple(1e-5 * 2 ** (k / 2) for k in range(42))  # buckets end there: 10 µs to 15 s, by half octaves
SHARES = 20  # buckets of a score from 0 to 1
WINDOW = 100  # answers
KEPT = 1000  # windows


@dataclass
class Histogram:
    """How often a time fell into each bucket, and the sum of all in seconds."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(EDGES_S) + 1))
    sum_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.buckets[bisect_left(EDGES_S, seconds)] += 1
        self.sum_s += seconds


@dataclass
class Window:
    """So many answers in a row."""

    began: float = field(default_factory=time.time)  # Unix time
    answers: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    scores: list[int] = field(default_factory=lambda: [0] * SHARES)
    invoke: Histogram = field(default_factory=Histogram)


class Counts:
    """All that is counted; any thread may add."""

    def __init__(self) -> None:
        self.steps = {step: Histogram() for step in STEPS}
        self.statuses: Counter[int] = Counter()
        self.batches: Counter[int] = Counter()  # by their size
        self.tokens: Counter[str] = Counter()  # of a language model: taken in and written
        self._now = Window()
        self._past: deque[Window] = deque(maxlen=KEPT)
        self._lock = Lock()

    def step(self, name: str, seconds: float) -> None:
        """Count the time that a step of one request took."""
        with self._lock:
            self.steps[name].add(seconds)

    def answered(self, label: str | None, score: float | None, invoke_s: float) -> None:
        """Count one answer.

        Args:
            label: the class, where it is one.
            score: the class's, from 0 to 1.
            invoke_s: what the model took for it.
        """
        with self._lock:
            now = self._now
            now.answers += 1
            now.invoke.add(invoke_s)
            if label is not None:
                now.labels[label] += 1
            if score is not None:
                now.scores[min(SHARES - 1, max(0, int(score * SHARES)))] += 1
            if now.answers >= WINDOW:
                self._past.append(now)
                self._now = Window()

    def windows(self) -> list[dict[str, Any]]:
        """The windows that are full, the oldest first, as JSON has them."""
        with self._lock:
            past = list(self._past)
        return [
            {
                "began": each.began,
                "answers": each.answers,
                "labels": dict(each.labels),
                "scores": each.scores,
                "invoke": each.invoke.buckets,
            }
            for each in past
        ]
