"""What Prometheus is told, in its own text format: made of the counts when it asks, so that nothing is kept twice."""

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from tasks.bench.runner import counters
from tasks.serve.counts import EDGES_S, Counts, Histogram

MICRO = 1e-6


class Energy:
    """The joules that the machine has taken since the start, by a counter of its own; it has none: no figure."""

    def __init__(self, sources: dict[str, str] | None = None) -> None:
        self._counter = counters.find({"powercap": counters.POWERCAP, "hwmon": counters.HWMON, **(sources or {})})
        self._zones: list[dict[str, Any]] = self._counter.about["zones"]
        self._last, self._uj = self._counter.microjoules() if self._zones else [], 0.0

    @property
    def source(self) -> str | None:
        """What it reads; None: nothing."""
        return str(self._counter.about["source"]) if self._zones else None

    def joules(self) -> float:
        """So far; counters wrap, so it has to be asked more often than they do: each few minutes."""
        found = self._counter.microjoules()
        for before, now, zone in zip(self._last, found, self._zones, strict=True):
            moved = now - before
            self._uj += moved + zone["range_uj"] if moved < 0 and zone["range_uj"] else max(moved, 0)
        self._last = found
        return self._uj * MICRO


class Collector:
    """Turns counts into what Prometheus reads."""

    def __init__(self, counts: Counts, about: dict[str, str], inside: Callable[[], int], energy: Energy) -> None:
        self._counts, self._about, self._inside, self._energy = counts, about, inside, energy

    def collect(self) -> Iterator[Metric]:
        """Each figure as it is now."""
        about = GaugeMetricFamily("tercet_bundle_info", "The bundle that is served.", labels=list(self._about))
        about.add_metric(list(self._about.values()), 1)
        yield about
        steps = HistogramMetricFamily(
            "tercet_step_seconds", "Time of each step of a request: queue, decode, invoke, encode.", labels=["step"]
        )
        for name, histogram in self._counts.steps.items():
            steps.add_metric([name], _cumulative(histogram), histogram.sum_s)
        yield steps
        for name, text, label, counted in (
            (
                "tercet_requests",
                "Requests by the status that they were answered with.",
                "status",
                self._counts.statuses,
            ),
            ("tercet_batches", "Requests that a worker took at once.", "size", self._counts.batches),
            ("tercet_tokens", "Tokens of a language model, taken in and written.", "which", self._counts.tokens),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for key, number in sorted(dict(counted).items(), key=str):
                family.add_metric([str(key)], number)
            yield family
        yield GaugeMetricFamily("tercet_inside", "Requests that are read, wait or are answered.", value=self._inside())
        if self._energy.source:
            energy = CounterMetricFamily(
                "tercet_machine_energy_joules", "Energy of the whole machine since the start.", labels=["source"]
            )
            energy.add_metric([self._energy.source], self._energy.joules())
            yield energy


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    total, found = 0, []
    for edge, number in zip((*EDGES_S, float("inf")), list(histogram.buckets), strict=True):
        total += number
        found.append(("+Inf" if edge == float("inf") else f"{edge:.6g}", float(total)))
    return found


def text(collector: Collector) -> bytes:
    """Prometheus' text format, version 0.0.4."""
    registry = CollectorRegistry()
    registry.register(collector)
    return bytes(generate_latest(registry))
