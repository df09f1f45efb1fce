"""Principal components, against scikit-learn's, of tables, images and windows; in what a bundle is given, too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from tasks import paths
from tasks.errors import DataError
from tasks.examples import dataset, preprocess, tables
from tasks.stages.prepare import prepare
from tests import least


def table(project: Path, rows: int = 80) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, 6)) * 3 + rng.normal(size=(rows, 6)) * 0.1 + 5
    lines = [",".join([*(f"{value:.5f}" for value in row), str(i % 2)]) for i, row in enumerate(x)]
    (project / "t.csv").write_text("\n".join(["a,b,c,d,e,f,kind", *lines]))


def images(project: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 6, 5, 1)).astype(np.uint8)
    (project / "raw").mkdir()
    np.savez(project / "raw/train.npz", **{"inputs.image": pixels, "targets.label": np.arange(90) % 2})


SOURCES: dict[str, tuple[Any, dict[str, Any]]] = {
    "table": (table, {"source": "csv", "path": "t.csv", "target": "kind", "normalize": "standard"}),
    "images": (images, {"source": "npz", "path": "raw"}),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_they_are_those_of_scikit_learn_on_the_training_split(kind: str, project: Path) -> None:
    make, section = SOURCES[kind]
    make(project)
    prepare(least.params(section))
    train, test = (next(iter(dataset.load(split).arrays().inputs.values())) for split in ("train", "test"))
    known = PCA(3, svd_solver="full").fit(train.reshape(len(train), -1).astype(np.float64))
    prepare(least.params(section | {"components": 3}))
    found = next(iter(dataset.load("test").arrays().inputs.values()))
    expected = known.transform(test.reshape(len(test), -1))
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-4)
    (spec,) = dataset.spec().inputs.values()
    assert (spec.shape, spec.dtype, spec.pixels) == ((3,), "float32", None)
    assert found.dtype == np.float32


def test_what_is_shipped_does_the_same_with_raw_input(project: Path) -> None:
    """By the file alone that travels: it imports nothing of ours."""
    table(project)
    prepare(least.params(SOURCES["table"][1] | {"components": 2}))
    described = json.loads((paths.DATA / "preprocess.json").read_text())["inputs"]["numbers"]
    raw = tables.pick(described, tables.cells(project / "t.csv"))
    ready = preprocess.apply(described, raw)
    assert ready.shape == (80, 2)
    part = dataset.load_raw("test").arrays().inputs["numbers"]
    places = [int(np.flatnonzero((raw == row).all(axis=1))[0]) for row in part]
    np.testing.assert_array_equal(dataset.load("test").arrays().inputs["numbers"], ready[places])


@pytest.mark.parametrize(("count", "said"), [(7, "received 7; numbers has 6 numbers in"), (99, "received 99;")])
def test_more_than_there_are_is_refused(count: int, said: str, project: Path) -> None:
    table(project)
    with pytest.raises(DataError, match=said):
        prepare(least.params(SOURCES["table"][1] | {"components": count}))


def test_a_table_without_numbers_is_refused(project: Path) -> None:
    (project / "t.csv").write_text("\n".join(["a,kind", *(f"{'xyz'[i % 3]},{i % 2}" for i in range(40))]))
    with pytest.raises(DataError, match=r"prepare\.components: an input of numbers expected"):
        prepare(least.params(SOURCES["table"][1] | {"components": 2, "split": {"repeats": "allowed"}}))
