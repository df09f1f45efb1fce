"""A session that answers as the runner would, at once and by numbers that a test chooses."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks.bench.answers import Answer, parse
from tasks.bench.runner import SCHEMA
from tasks.errors import DeviceError


class Machine:
    """A machine that answers at once: each model takes as long as it is told, in nanoseconds.

    Placing an input takes `gap_ns` outside the clock, inside the window, and as much CPU time.
    """

    def __init__(self) -> None:
        self.ns = {"float32": 80_000, "int8": 40_000}
        self.runs = 100  # a window
        self.gap_ns = 20_000
        self.empty_ns = 50.0  # that the clock counts of nothing
        self.cpu_share = 1.0  # of a processor, while there is something to do
        self.slow = 1  # of so many inferences the last takes `slowed_ns` more
        self.slowed_ns = 0
        self.preempted: int | None = 0
        self.refuses: str | None = None
        self.clock_jump_s = 0.0  # in each window
        self.energy: dict[str, Any] = {
            "source": None,
            "zones": [],
            "reason": "no RAPL",
            "update_s": None,
            "idle": [None, None],
        }
        self.crashes = 0  # so many times, before it works
        self.requests: list[dict[str, Any]] = []
        self.limits_s: list[float] = []  # of each

    def run(
        self, request: dict[str, Any], files: dict[str, Path], results: dict[str, Path], *, timeout_s: float
    ) -> Answer:
        self.limits_s.append(timeout_s)
        whole = {"schema": SCHEMA, "status": "ok", "reason": None, "environment": {"cpu": "made up"}}
        return parse(whole | self.answer(request | files | results))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the runner would say."""
        if request["action"] == "profile":
            return {"operators": [{"name": "a", "kind": "ADD", "ran_on": None, "ms": 0.1}]}
        self.requests.append(request)
        if len(self.requests) <= self.crashes:
            raise DeviceError("the cable is out")
        variant = Path(request["model"]).parent.name
        if variant == self.refuses:
            return {"status": "unsupported", "reason": "no such kernel"}
        samples = np.full(self.runs, self.ns[variant], np.uint64)
        samples[self.slow - 1 :: self.slow] += np.uint64(self.slowed_ns)
        np.savez(request["samples"], infer=samples)
        busy_s, gaps_s = samples.sum() / 1e9, len(samples) * self.gap_ns / 1e9
        seconds = busy_s + gaps_s
        ends_ns = [int(s * 1e9) for s in (seconds, seconds + self.clock_jump_s)]
        readings = [{"uj": [], "ns": 0, "epoch_ns": 0}, {"uj": [], "ns": ends_ns[0], "epoch_ns": ends_ns[1]}]
        window = {
            "unit": "inference",
            "volume": 1,
            "period": 1,
            "runs": len(samples),
            "seconds": seconds,
            "busy_s": busy_s,
            "cpu_s": seconds * self.cpu_share,
            "busy_cpu_s": busy_s * self.cpu_share,
            "empty_ns": self.empty_ns,
            "preempted": self.preempted,
            "state": [{"mhz": 3000.0, "temperature_c": 50.0}, {"mhz": 2800.0, "temperature_c": 60.0}],
            "energy": self.counter(seconds, readings),
        }
        memory = {"before_kib": 1000, "peak_kib": 1500 if variant == "int8" else 1800}
        return {"timing": {"load_ms": 1.0, "first_ms": 1.0, "memory": memory, "phases": {"infer": window}}}

    def counter(self, seconds: float, window: list[dict[str, Any]]) -> dict[str, Any]:
        """What the energy counter shows of a window between two readings."""
        return {**self.energy, "window": window}
