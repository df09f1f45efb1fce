"""How well a text is told: bits per byte, which texts in any tokens share, and perplexity, which is of a token.

Both are of the nats that the true tokens cost: minus the logarithm of the probability that each was given. An example
is a window, so windows are drawn; two variants are compared on the same ones.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from tasks.examples import Array
from tasks.examples.dataset import LABEL, TEXT_BYTES
from tasks.examples.tokens import counts
from tasks.quality import resample
from tasks.records import Paired
from tasks.records.metrics import Metric

MOST = 700.0  # nats a token, beyond which their exponential is no finite number


def naive_nats(train: Mapping[str, Array], here: Mapping[str, Array]) -> float:
    """The nats of all tokens here for who knows how often each one is in training, and one time more."""
    size = 1 + max(int(each[LABEL].max()) for each in (train, here))
    known = counts(train[LABEL], size) + 1.0
    return float(counts(here[LABEL], size) @ np.log(known.sum() / known))


def _rates(kept: Array) -> Array:
    """What each window has to do with the nats of a byte, or token: numbers [n] whose mean that rate is.

    A rate is one sum over another, and nearly linear in what each window adds to both.
    """
    nats, of = kept.T
    rate = nats.sum() / of.sum()
    rates: Array = rate + (nats - rate * of) / of.mean()
    return rates


def _gains(variant: Array, reference: Array) -> Array:
    return _rates(reference) - _rates(variant)


def _interval(kept: Array) -> tuple[float, float]:
    """Of the nats, which are never below 0."""
    low, high = resample.mean_interval(_rates(kept))
    return max(low, 0.0), high


def _bits(nats: float) -> float:
    return nats / math.log(2)


def _exponential(nats: float) -> float:
    return math.exp(min(nats, MOST))


def _each(unit: Callable[[float], float], ends: tuple[float, float]) -> tuple[float, float]:
    return unit(ends[0]), unit(ends[1])


def _perplexity_paired(variant: Array, reference: Array, _truth: Array) -> Paired:
    """Two exponentials differ by the difference of what is in them, times the slope between them."""
    one, other = (float(_rates(each).mean()) for each in (variant, reference))
    apart = _exponential(other) - _exponential(one)
    slope = apart / (other - one) if apart else _exponential(one)
    return resample.mean_paired(_gains(variant, reference) * slope)


BITS = Metric(
    task="language",
    unit="",
    better="lower",
    keep="tasks.quality.kept:nats_and_bytes",
    asks=(LABEL, TEXT_BYTES),
    value=lambda kept, _truth: _bits(float(_rates(kept).mean())),
    interval=lambda kept, _truth: _each(_bits, _interval(kept)),
    paired=lambda variant, reference, _truth: resample.mean_paired(_gains(variant, reference) / math.log(2)),
    naive=lambda train, here: _bits(naive_nats(train, here) / float(here[TEXT_BYTES].sum())),
)
PERPLEXITY = Metric(
    task="language",
    unit="",
    better="lower",
    keep="tasks.quality.kept:nats_and_tokens",
    asks=(LABEL,),
    value=lambda kept, _truth: _exponential(float(_rates(kept).mean())),
    interval=lambda kept, _truth: _each(_exponential, _interval(kept)),
    paired=_perplexity_paired,
    naive=lambda train, here: _exponential(naive_nats(train, here) / here[LABEL].size),
)
