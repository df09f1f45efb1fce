"""How a champion answered where it was judged: what a watch over its answers compares with."""

from collections import Counter

from tasks import paths, records
from tasks.examples import preprocess
from tasks.examples.dataset import LABEL
from tasks.records import Evaluation, Row
from tasks.ship.manifest import Reference


def of(row: Row) -> Reference | None:
    """How often it gave each class on the validation data; None: it tells no classes, or was not judged by them.

    Args:
        row: the champion's pair, whose kernels count.
    """
    path = paths.evaluation(row.variant)
    target = preprocess.read(paths.DATA / "preprocess.json")["targets"][LABEL]
    if target["kind"] != "class" or not path.exists():
        return None
    wanted = ("validation", row.measurement.kernels)
    scores = [each for each in records.read(Evaluation, path).scores if (each.split, each.kernels) == wanted]
    given = next((each.predictions for each in scores if each.predictions), None)
    if given is None:
        return None
    counted = Counter(given)
    return Reference(labels={name: counted[index] for index, name in enumerate(target["classes"])})
