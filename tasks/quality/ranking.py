"""How high what is relevant stands among ten: recall, and normalized discounted cumulative gain, of each user.

K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002). An example is a user with
candidates, of which the target tells the one that is relevant; so recall is how often it is among the ten, and the best
gain is 1. Equal scores share what their places are worth, as in scikit-learn's `ndcg_score`. Who is compared, and drawn
again, is the user.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tasks.examples import Array
from tasks.examples.dataset import LABEL
from tasks.quality import shares
from tasks.quality.kept import ndcg_10, recall_10
from tasks.records.metrics import Metric


def _naive(keep: Callable[[Any, Mapping[str, Array]], Array]) -> Callable[[Any, Mapping[str, Array]], float]:
    """Of who gives all candidates one score, as good as shuffling them."""

    def naive(train: Mapping[str, Array], here: Mapping[str, Array]) -> float:
        many = int(max(train[LABEL].max(), here[LABEL].max())) + 1
        return float(keep(np.zeros((len(here[LABEL]), many)), here).mean())

    return naive


def _metric(keep: Callable[[Any, Mapping[str, Array]], Array], kept: str) -> Metric:
    return Metric(
        task="classification",
        keep=kept,
        asks=(LABEL,),
        value=lambda values, _truth: float(values.mean()),
        interval=lambda values, _truth: shares.interval(values),
        paired=lambda variant, reference, _truth: shares.paired(variant - reference),
        naive=_naive(keep),
        interval_by=shares.INTERVAL_BY,
        paired_by=shares.PAIRED_BY,
    )


RECALL_10 = _metric(recall_10, "tasks.quality.kept:recall_10")
NDCG_10 = _metric(ndcg_10, "tasks.quality.kept:ndcg_10")
