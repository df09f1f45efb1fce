"""The table that scikit-learn carries, against scikit-learn's own reading of it."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from tasks.data import breast_cancer
from tasks.errors import DataError
from tasks.params import Prepare


def test_the_table_is_as_scikit_learn_reads_it() -> None:
    source, known = breast_cancer.load(Prepare(source="breast-cancer")), load_breast_cancer()
    np.testing.assert_array_equal(source.train.arrays().inputs["numbers"], known.data)
    assert source.columns["numbers"] == tuple(known.feature_names)
    names = [source.classes[number] for number in source.train.targets["label"]]
    assert names == [known.target_names[number] for number in known.target]
    assert names.count("malignant") == 212


def test_where_it_is_not_carried_that_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(breast_cancer, "_path", lambda: tmp_path / "gone.csv")
    with pytest.raises(DataError, match=r"gone\.csv: no such file; install the version of scikit-learn"):
        breast_cancer.check(Prepare(source="breast-cancer"))
