"""How far a variant's answers to a text lie from the reference's, whatever the text says: what quantizing did.

The Kullback-Leibler divergence of each next token's probabilities is far less noisy than a difference of perplexities,
which may even fall by chance. An example is a window; of each the mean over its places is kept.
"""

from tasks.examples import Array
from tasks.quality import resample, shares
from tasks.records.metrics import Metric


def _mean(kept: Array, _truth: Array) -> float:
    return float(kept.mean())


def _nats(kept: Array, _truth: Array) -> tuple[float, float]:
    """Never below 0."""
    low, high = resample.mean_interval(kept)
    return max(low, 0.0), high


DIVERGENCE = Metric(
    task="language",
    unit="",  # nats a token
    better="lower",
    keep="tasks.quality.kept:divergence",
    beside=True,
    value=_mean,
    interval=_nats,
    paired=lambda variant, reference, _truth: resample.mean_paired(reference - variant),
)
SAME_TOP = Metric(
    task="language",
    keep="tasks.quality.kept:same_top",
    beside=True,
    value=_mean,
    interval=lambda kept, _truth: shares.interval(kept),
    paired=lambda variant, reference, _truth: shares.paired(variant - reference),
    interval_by=shares.INTERVAL_BY,
    paired_by=shares.PAIRED_BY,
)
