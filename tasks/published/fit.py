"""Rates of a family of kernels from few figures: a cost for each kind of work, and one factor for each processor.

A figure is cycles = e^base(processor) * sum over kinds of e^rate(kind) * work(kind). The logarithm of that is fitted to
the logarithm of what was published, so that errors are relative and no rate is negative; rates are drawn to those of
a style of kernels, as a board has four figures and a network eight kinds of work. Of the styles the likeliest counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.published.work import Vector

# what a unit of each of `KINDS` costs, relative to a product of a convolution. Judgements by how kernels are built, set
# in view of the published figures; which of them a runtime has is told by its own figures
STYLES = {
    "scalar": (
        1,
        1,
        0.7,
        1,
        1,
        2,
        2,
        0.1,
    ),  # plain loops: a product costs the same everywhere, a dense one's index less
    "packed": (1, 1, 1, 1.5, 1.5, 3, 8, 0.5),  # two products an instruction, which depthwise layers cannot use
    "unrolled": (1, 0.8, 1, 1.5, 5, 2, 5, 0.5),  # likewise; depthwise layers have kernels of their own
    "vector": (1, 1, 1, 1.5, 2, 6, 25, 2),  # many products an instruction, so that what is around them counts
    "array": (1, 1, 4, 2, 2, 8, 40, 20),  # hundreds a cycle: it waits for what is read and written
}
PROCESSORS = ("scalar", "packed", "unrolled", "vector")  # styles that are possible there
SPREAD = np.array([0.1, 0.1, 0.1, 0.3, 0.3, 0.3, 0.5, 0.5])  # how far a runtime's rates lie from its style's, in logs
NOISE = 0.05  # likewise of a figure from its fit
STEPS = 30
CLOSE = 1e-4


@dataclass(frozen=True)
class Figure:
    """One published figure of a network on a processor."""

    processor: str
    network: str
    work: Vector
    cycles: float  # or any other time, where a processor's figures all have the same unit


@dataclass(frozen=True)
class Fit:
    """What was found."""

    style: str
    rates: Vector  # logarithms, by `KINDS`
    bases: dict[str, float]  # likewise, by processor
    loss: float

    def cycles(self, work: Vector, base: float) -> float:
        """What so much work takes."""
        return float(np.exp(self.rates) @ work * np.exp(base))


def fitted(figures: Sequence[Figure], styles: Sequence[str] = PROCESSORS) -> Fit:
    """The likeliest rates of these styles."""
    return min((_of_style(figures, style) for style in styles), key=lambda fit: fit.loss)


def _of_style(figures: Sequence[Figure], style: str) -> Fit:
    """Rates by Gauss and Newton, the bases being means of what is left; the loss is minus twice the log likelihood."""
    names = sorted({figure.processor for figure in figures})
    at = np.array([names.index(figure.processor) for figure in figures])
    work = np.array([figure.work for figure in figures])
    known = np.log([figure.cycles for figure in figures])
    member = np.eye(len(names))[at]
    usual = np.log(np.array(STYLES[style], np.float64))
    rates = usual.copy()
    prior = np.diag(1 / SPREAD**2)
    for _ in range(STEPS):
        parts = work * np.exp(rates)
        shares = parts / parts.sum(1, keepdims=True)
        left = _centred(known - np.log(parts.sum(1)), member)
        slope = _centred(shares, member)  # a change of all rates is one of the bases
        step = np.linalg.solve(
            slope.T @ slope / NOISE**2 + prior, slope.T @ left / NOISE**2 + (usual - rates) / SPREAD**2
        )
        rates = rates + np.clip(step, -1, 1)
        if np.abs(step).max() < CLOSE:
            break
    gaps = known - np.log(work @ np.exp(rates))
    bases = member.T @ gaps / member.sum(0)
    loss = float((((gaps - bases[at]) / NOISE) ** 2).sum() + (((usual - rates) / SPREAD) ** 2).sum())
    return Fit(style, rates, dict(zip(names, map(float, bases), strict=True)), loss)


def _centred(values: Vector, member: Vector) -> Vector:
    """Values less the mean of their processor's; [figures] or [figures, n]."""
    means = (member.T @ values).T / member.sum(0)
    return np.asarray(values - member @ means.T)
