"""A key that nothing would look at is refused, as whoever wrote it believes that it does something."""

import pytest

from tasks.errors import ParamsError
from tasks.params import Prepare, Quantize, check
from tasks.params.compress import Cluster, Prune
from tasks.params.section import Section

PRUNE = {"method": "prune", "parent": "baseline", "sparsity": 0.5, "epochs": 1}
CLUSTER = {"method": "cluster", "parent": "baseline", "epochs": 1}
INT8 = {"model": "baseline", "scheme": "int8"}
LANGUAGE = {"source": "text", "path": "book.txt", "task": "language"}


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"source": "digits", "path": "data/scans"}, "path"),
        ({"source": "docstrings", "path": "data/reviews.csv"}, "path"),
        ({"source": "digits", "dataset": "mnist"}, "dataset"),
        ({"source": "csv", "path": "a.csv", "target": "y", "text": "review"}, "text"),
        ({"source": "tsv", "path": "a", "tokens": "bpe"}, "tokens"),
        ({**LANGUAGE, "bigrams": True}, "bigrams"),
        ({"source": "digits", "vocabulary": 500}, "vocabulary"),
        ({"source": "folder", "path": "a", "length": 12}, "length"),
    ],
)
def test_a_key_of_other_sources(tmp_path, given, key):
    with pytest.raises(
        ParamsError, match=rf"prepare.yaml: {key} is of the sources .*; received source '{given['source']}'"
    ):
        check(Prepare, given, tmp_path / "prepare.yaml")
    check(Prepare, {name: value for name, value in given.items() if name != key}, tmp_path / "prepare.yaml")


@pytest.mark.parametrize("source", ["csv", "folder", "idx", "medmnist", "npz", "ratings", "sentences", "text", "tsv"])
def test_a_source_takes_the_path_that_it_reads(source):
    target = {"target": "y"} if source == "csv" else {}
    assert Prepare(source=source, path="data/mine", **target).path == "data/mine"


@pytest.mark.parametrize(
    ("schema", "given", "key", "needed"),
    [
        (Quantize, {**INT8, "percentile": 99.9}, "percentile", {"ranges": "percentile"}),
        (Quantize, {**INT8, "aware_learning_rate": 0.01}, "aware_learning_rate", {"aware_epochs": 1}),
        (Prune, {**PRUNE, "teacher_weight": 0.5}, "teacher_weight", {"teacher": "baseline"}),
        (Cluster, {**CLUSTER, "temperature": 2}, "temperature", {"teacher": "baseline"}),
        (Cluster, {**CLUSTER, "tolerance": 0.01}, "tolerance", {"clusters": "auto"}),
    ],
)
def test_a_key_that_another_one_wakes(tmp_path, schema: type[Section], given, key, needed):
    with pytest.raises(ParamsError, match=rf"{key} means nothing without `?{next(iter(needed))}"):
        check(schema, given, tmp_path / "params.yaml")
    check(schema, given | needed, tmp_path / "params.yaml")
