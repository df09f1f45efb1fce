"""Stage `yardstick`: what something simple answers to the examples that variants are judged by."""

from tasks import paths
from tasks.errors import InvalidError
from tasks.examples import dataset
from tasks.members import YARDSTICKS
from tasks.params import Params
from tasks.quality.score import metric_of, score
from tasks.records import Split, YardstickScores


def yardstick(params: Params, yardstick: str) -> None:
    """Have `yardstick.<name>` learn from the training split and score it on validation and test; write its scores.

    It is judged by the metric, on the very examples and with the very interval of the variants.

    Raises:
        DataError: the training split is none that it can learn from.
        InvalidError: it answers with what is no finite number, or to another number of examples.
    """
    entry = params.yardstick[yardstick]
    method = YARDSTICKS.load(entry.method)
    given = dataset.load_raw if method.raw else dataset.load
    train, metric = given("train"), metric_of(dataset.load("test"), params.metric)
    splits: tuple[Split, ...] = ("validation", "test")
    scores = []
    for split in splits:
        judged = dataset.load(split)
        outputs = method.predict(train, given(split) if method.raw else judged, entry.seed, **entry.options)
        if len(outputs) != len(judged):
            raise InvalidError(f"yardstick {yardstick}: {len(outputs)} answers to {len(judged)} {split} examples")
        scores.append(score(outputs, judged, "default", split, metric))
    found = YardstickScores(name=yardstick, method=entry.method, scores=tuple(scores))
    found.save(paths.yardstick(yardstick))
