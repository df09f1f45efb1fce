"""What each input is: told or found, and what a model and a bundle then make of it."""

import json

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from tasks.data.npz import load
from tasks.errors import DataError
from tasks.examples import dataset, features, preprocess
from tasks.examples.features import preprocessing
from tasks.params import Prepare

N = 30
RNG = np.random.default_rng(0)
USER = RNG.permutation(N)[:, None]  # 0 to 29, once each
PLACE = RNG.integers(0, 256, (N, 8, 8))
LEVEL = RNG.normal(40, 8, (N, 12, 2))


@pytest.fixture
def described(tmp_path):
    """A function: what is said of three inputs of an npz file, where params.yaml tells of some."""
    label = np.arange(N) % 2
    half = {
        "inputs.user": USER[:20],
        "inputs.place": PLACE[:20],
        "inputs.level": LEVEL[:20],
        "targets.label": label[:20],
    }
    rest = {
        "inputs.user": USER[20:],
        "inputs.place": PLACE[20:],
        "inputs.level": LEVEL[20:],
        "targets.label": label[20:],
    }
    np.savez(tmp_path / "train.npz", **half)
    np.savez(tmp_path / "test.npz", **rest)

    def describe_with(**told):
        params = Prepare.model_validate({"source": "npz", "path": str(tmp_path), **told})
        source = load(params)
        return json.loads(json.dumps(preprocessing(source, source.train, params)["inputs"])), source

    return describe_with


def test_an_embedding_of_ids_can_be_sized(described):
    entries, _ = described(features={"user": {"kind": "id"}})
    assert entries["user"] == {"kind": "id", "shape": [1], "vocabulary": N}  # the highest may be in the test file
    assert dataset.tensor_spec(entries["user"]) == dataset.TensorSpec((1,), "int32", N)
    assert preprocess.apply(entries["user"], USER).tolist() == USER.tolist()
    for strange in (N, -1):
        with pytest.raises(ValueError, match=f"numbers from 0 to {N - 1} expected; received {strange} to {strange}"):
            preprocess.apply(entries["user"], np.array([[strange]]))
    told, _ = described(features={"user": {"kind": "id", "vocabulary": 100}})
    assert told["user"]["vocabulary"] == 100
    with pytest.raises(DataError, match=r"features\.user\.vocabulary: 25 is too few; the data has the number 29"):
        described(features={"user": {"kind": "id", "vocabulary": 25}})


def test_each_input_is_normalised_as_is_told_of_it(described):
    entries, source = described(
        normalize="unit", features={"level": {"normalize": "standard"}, "place": {"normalize": "none"}}
    )
    assert entries["place"]["kind"] == "image"
    assert (entries["place"]["scale"], entries["level"]["kind"]) == ([1.0], "array")
    ready = preprocess.apply(entries["level"], source.train.inputs["level"])
    np.testing.assert_allclose(ready.mean(axis=(0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(ready.std(axis=(0, 1)), 1, atol=1e-6)


def test_what_is_told_counts_more_than_what_it_looks_like(described):
    entries, source = described(features={"place": {"kind": "series"}, "user": {"kind": "number"}})
    assert (entries["place"]["kind"], entries["place"]["dtype"]) == ("series", "float32")
    assert preprocess.apply(entries["place"], source.train.inputs["place"]).dtype == np.float32
    assert dataset.tensor_spec(entries["user"]) == dataset.TensorSpec((1,), "float32")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"usr": {"kind": "id"}}, r"features\.usr: no such input; allowed: .* did you mean 'user'"),
        ({"level": {"kind": "id"}}, r"features\.level: integers from 0 expected of kind id"),
        (
            {"level": {"kind": "text"}},
            r"features\.level\.kind: received 'text'; this input may be array, number, series",
        ),
        ({"level": {"kind": "image"}}, r"features\.level\.kind: received 'image'; this input may be"),
    ],
)
def test_what_cannot_be_is_told(described, told, message):
    with pytest.raises(DataError, match=message):
        described(features=told)


@pytest.mark.parametrize("value", [0.1, -0.3, 1e-9, 1.1e9, 2.2, 7.7e-5])
@pytest.mark.parametrize("n", [3, 7, 80, 1001])
@pytest.mark.parametrize("normalize", ["standard", "unit"])
def test_what_never_changes_in_training_is_0_and_no_number_without_end_later(value, n, normalize):
    """The deviation of equal numbers is often 1e-17: scikit-learn's scaler divides them by 1 too."""
    told = Prepare.model_validate({"source": "csv", "path": "a.csv", "target": "b", "normalize": normalize})
    later = np.array([[value], [value + 1]])
    column = np.full((n, 1), value)
    column[0] = np.nextafter(value, 9e9)  # as a sum that was added up in another order
    scaler = StandardScaler().fit(np.full((n, 1), value)).transform(later)
    for raw in (np.full((n, 1), value), column):
        found = preprocess.apply(features.table("number", ("a",), raw, told), later)
        np.testing.assert_allclose(found, scaler, atol=1e-6)
    assert features.values(column[:, 0])["scale"] == [1.0]


@pytest.mark.parametrize("change", ["difference", "log"])
@pytest.mark.parametrize("value", [0.7, 20.0, 1234.5])
def test_steps_of_a_series_that_are_alike_but_for_their_last_digits_are_0(value, change):
    told = {
        "path": "a.csv",
        "normalize": "standard",
        "target": "a",
        "task": "regression",
        "split": {"by": "time", "column": "day"},
        "change": change,
    }
    places = np.arange(400)[:, None, None] + np.arange(4)[:, None]
    raw = (value + places * 0.1 if change == "difference" else value * 1.001**places).astype(np.float32)
    entry = features.series(raw, Prepare.model_validate({"source": "series", **told}))
    assert np.ptp(preprocess.changes(change, raw)) > 0
    assert preprocess.apply(entry, raw) == pytest.approx(0, abs=1e-3)
    assert entry["scale"] == [1.0]


def test_a_moment_that_never_changes_in_training_is_a_day_before_the_next_one():
    told = Prepare.model_validate({"source": "csv", "path": "a.csv", "target": "b"})
    entry = features.table("date", ("a",), np.full((6, 1), "2026-01-31T10:20:30", object), told)
    ready = preprocess.apply(entry, np.array([["2026-01-31T10:20:30"], ["2026-02-01T10:20:30"]], object))
    assert ready[:, 0] == pytest.approx([0, 1], abs=1e-5)


def test_what_differs_is_divided_by_its_deviation_however_little_that_is():
    told = Prepare.model_validate({"source": "csv", "path": "a.csv", "target": "b", "normalize": "standard"})
    raw = 1e6 + RNG.normal(0, 1e-6, (50, 1))
    assert preprocess.apply(features.table("number", ("a",), raw, told), raw).std() == pytest.approx(1, rel=1e-5)
