"""Whether the answers got worse: two artifacts on the same examples."""

from dataclasses import dataclass
from pathlib import Path

from tasks.bench import judging
from tasks.bench.predict import litert
from tasks.bench.request import Artifact, Made
from tasks.examples import Array, Examples
from tasks.examples.dataset import LABEL
from tasks.gate.decide import OUTSIDE, Change, Z
from tasks.intervals import Z_ONE_SIDED, paired_drop
from tasks.quality import score
from tasks.quality.score import grade
from tasks.records import Evaluation, Score, Split
from tasks.records.quality import gain

SPLIT: Split = "test"  # choices were made on the validation split: what was chosen looks better there than it is
BOUND = 0.05  # what a metric's own bound of a drop leaves outside


@dataclass(frozen=True)
class Side:
    """What the project has of a variant, or had."""

    artifact: Made
    evaluation: Evaluation | None = None  # of the examples that there are now; null: it has to be asked

    def score(self, metric: str) -> Score | None:
        """What is recorded of its answers by LiteRT here; null where nothing is, or of another file or metric."""
        if self.evaluation is None or self.evaluation.artifact_sha256 != self.artifact.card.sha256:
            return None
        asked = SPLIT, "default", metric
        return next((each for each in self.evaluation.scores if (each.split, each.kernels, each.metric) == asked), None)


def answered(artifact: Artifact, examples: Examples, metric: str, folder: Path, reference: Artifact | None) -> Score:
    """The quality of an artifact by LiteRT on this machine.

    Args:
        artifact: it.
        examples: of the test split.
        metric: a key of METRICS.
        folder: for files in between.
        reference: what the metric compares with, where it compares.

    Raises:
        UnsupportedError, DeviceError, InvalidError: it gives no answers that can be judged.
    """
    asked = judging.questions(folder, SPLIT, examples, metric, reference)
    kept, _ = judging.kept(artifact, asked, litert())
    return grade(kept, examples.targets[LABEL], "default", SPLIT, metric)


def drop(now: Score, before: Score, truth: Array) -> Change | None:
    """How much worse the answers are, in the metric's unit; null where the two cannot be paired.

    Of shares of examples the ends are those of Tango's score test, and no loss is told that McNemar's exact test does
    not tell. Of every other metric the upper end is its own bound of a drop, the lower one what the normal
    distribution of that width has there, and its own paired test has to tell the loss.

    Raises:
        DataError: the scores are not of as many examples.
    """
    paired = score.paired(now, before, truth)
    if paired is None:
        return None
    value = -gain(now.better, now.value, before.value)
    if paired.better is not None and paired.worse is not None:
        low, high = paired_drop(paired.better, paired.worse, now.n, Z)
        outside = OUTSIDE, OUTSIDE
    else:
        high = max(paired.drop_bound, value)
        low, outside = value - (high - value) * Z / Z_ONE_SIDED, (OUTSIDE, BOUND)
    if paired.p_value / 2 > OUTSIDE:
        low = min(low, 0.0)
    return Change(value, low, high, now.n, outside)
