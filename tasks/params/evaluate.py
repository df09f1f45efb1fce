"""What quality is."""

from typing import Annotated

from pydantic import AfterValidator

from tasks.params.section import Section
from tasks.records.metrics import METRICS

MetricName = Annotated[str, AfterValidator(METRICS.checked)]


class Evaluate(Section):
    """How variants are judged."""

    # null: accuracy where there are classes, auc of a reconstruction, rmse of values, macro-auc of several labels,
    # bits-per-byte of a text; ovr-auc of classes is the area of each against the rest, the mean; kl-divergence and
    # same-top of a text are of the answers of benchmark.reference
    metric: MetricName | None = None
    # of a text of which every token is told: multiple-choice questions beside it, a JSON object a line with `query`,
    # `choices` and `gold`, the place of the right one from 0
    choices: str | None = None
