"""What each input is: told or found, and what a model and a bundle then make of it."""

import json

import numpy as np
import pytest

from tasks.data.npz import load
from tasks.errors import DataError
from tasks.examples import dataset, preprocess
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
