"""Directional accuracy: how often a change is told with its sign; an answer without one is worth half, as a coin is."""

from collections.abc import Mapping

import numpy as np

from tasks.examples import Array
from tasks.examples.dataset import LABEL
from tasks.quality import shares
from tasks.quality.kept import directions
from tasks.records.metrics import Metric


def _naive(train: Mapping[str, Array], here: Mapping[str, Array]) -> float:
    """Who always answers with the direction that is the more frequent in training."""
    usual = 1.0 if np.sign(train[LABEL]).sum() >= 0 else -1.0
    return float(directions(np.full(here[LABEL].shape, usual), here).mean())


METRIC = Metric(
    task="regression",
    keep="tasks.quality.kept:directions",
    asks=(LABEL,),
    value=lambda kept, _truth: float(kept.mean()),
    interval=lambda kept, _truth: shares.interval(kept),
    paired=lambda variant, reference, _truth: shares.paired(variant - reference),
    naive=_naive,
    counts=True,
    interval_by=shares.INTERVAL_BY,
    paired_by=shares.PAIRED_BY,
)
