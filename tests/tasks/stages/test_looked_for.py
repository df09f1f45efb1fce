"""A metric of the second of two classes is none of the first: the names of both say which is looked for."""

from pathlib import Path

import pytest

from tasks import paths
from tasks.errors import DataError
from tasks.examples import dataset
from tasks.models import mlp
from tasks.params import Params
from tasks.quantize.variant import write
from tasks.records import Evaluation, read
from tasks.report.compare import score
from tasks.stages.evaluate import evaluate
from tasks.stages.prepare import prepare
from tasks.training import fit
from tests import least

pytest.importorskip("tf_keras", reason="the training stack is not installed")


def made(first: str, second: str) -> Params:
    """The file of a network that nothing was taught, of a table of two such classes."""
    rows = [f"{i},{first if i % 3 else second}" for i in range(120)]
    Path("people.csv").write_text("\n".join(["age,state", *rows]))
    told = {"source": "csv", "path": "people.csv", "target": "state", "features": {"age": {"kind": "number"}}}
    params = least.params(told, model={"family": "mlp"}, evaluate={"metric": "sensitivity-95"})
    prepare(params)
    fit.reset(0)
    name, entry = next(iter(params.quantize.items()))
    paths.artifact(name).mkdir(parents=True)
    write(paths.artifact(name), name, entry, mlp.build(params.model, dataset.spec()), dataset.load("calibration"))
    return params


def test_it_is_refused_where_the_second_class_is_what_is_normal(project: Path) -> None:
    params = made("disease", "healthy")
    told = r"evaluate.metric: sensitivity-95 is how many of the second class are found; the classes are 'disease' and"
    with pytest.raises(DataError, match=told):
        evaluate(params, next(iter(params.quantize)))


def test_it_is_told_where_the_names_say_nothing_else(project: Path) -> None:
    params = made("healthy", "ill")
    evaluate(params, name := next(iter(params.quantize)))
    assert score(read(Evaluation, paths.evaluation(name)), "test", "default").metric == "sensitivity-95"
