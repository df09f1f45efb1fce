"""Arrays of one's own: what comes back, what is refused by file and key, and how they reach a model."""

import json

import numpy as np
import pytest

from tasks.data.npz import load
from tasks.errors import DataError
from tasks.examples import dataset, preprocess
from tasks.examples.features import preprocessing
from tasks.examples.split import split
from tasks.params import Prepare


def arrays(count=20, **more):
    rng = np.random.default_rng(count)
    found = {
        "inputs.wave": rng.normal(3, 2, (count, 5, 2)),
        "inputs.token": rng.integers(0, 9, (count, 4), np.int64),
        "targets.label": np.arange(count, dtype=np.uint8) % 3,
    }
    return {key: array for key, array in {**found, **more}.items() if array is not None}


def load_from(folder, train=None, test=None):
    np.savez(folder / "train.npz", **(train or arrays()))
    if test:
        np.savez(folder / "test.npz", **test)
    return load(Prepare(source="npz", path=str(folder)))


def test_inputs_and_targets_come_back_by_name(tmp_path):
    given = arrays(**{"targets.depth": np.linspace(0, 1, 20), "classes": np.array(["a", "b", "c"])})
    source = load_from(tmp_path, given, {key: array[:6] for key, array in given.items() if key != "classes"})
    assert (source.kinds, source.classes, len(source.test)) == ({"wave": "array", "token": "array"}, ("a", "b", "c"), 6)
    assert np.array_equal(source.train.inputs["wave"], given["inputs.wave"].astype(np.float32))
    assert np.array_equal(source.train.inputs["token"], given["inputs.token"])
    assert source.train.targets["label"].dtype == np.int64
    assert source.train.targets["depth"].dtype == np.float32
    assert set(source.origin) == {"train.npz", "test.npz"}


def test_classes_are_numbered_where_they_have_no_names(tmp_path):
    source = load_from(tmp_path)
    assert (source.classes, source.test) == (("0", "1", "2"), None)


@pytest.mark.parametrize("made", [lambda y: y > 0, lambda y: (y > 0).astype(np.int8)[:, None]])
def test_truths_and_a_column_are_class_numbers(tmp_path, made):
    label = np.arange(20) % 3
    source = load_from(tmp_path, arrays(**{"targets.label": made(label)}))
    np.testing.assert_array_equal(source.train.targets["label"], label > 0)
    assert source.train.targets["label"].dtype == np.int64


N = 20
BROKEN = {
    "no label": ({"targets.label": None}, r"train\.npz: inputs\.<name> and targets\.label expected; received inputs"),
    "unknown key": (
        {"input.x": np.zeros(N)},
        r"train\.npz: 'input\.x': inputs\.<name>, targets\.<name>, columns\.<name> or classes",
    ),
    "a path as a name": ({"inputs.../x": np.zeros(N)}, r"train\.npz: 'inputs\.\.\./x'"),
    "pickle": ({"inputs.wave": np.array([{}] * N, object)}, r"train\.npz: inputs\.wave: .*[Oo]bject arrays"),
    "lengths": ({"inputs.wave": np.zeros((N - 1, 2))}, r"train\.npz: arrays of one length.*'inputs\.wave': 19"),
    "no examples": (
        {"inputs.wave": np.zeros((0, 2)), "inputs.token": None, "targets.label": np.zeros(0, int)},
        "least 1",
    ),
    "one axis": ({"inputs.wave": np.zeros(N)}, r"train\.npz: inputs\.wave: .*reshape it to \[n, 1\]"),
    "text": ({"inputs.wave": np.full((N, 2), "a")}, r"train\.npz: inputs\.wave: integers or floats .* received <U1"),
    "not finite": ({"inputs.wave": np.full((N, 2), np.nan)}, r"inputs\.wave: finite numbers .* received 40"),
    "too large": ({"inputs.wave": np.full((N, 2), 1e39)}, r"inputs\.wave: finite numbers within float32"),
    "64 bits": ({"inputs.token": np.full((N, 2), 2**31)}, r"inputs\.token: integers of 32 bits"),
    "float label": ({"targets.label": np.zeros(N)}, r"targets\.label: class numbers \[n\] from 0 .* received float64"),
    "whole floats": ({"targets.label": np.ones(N)}, r"for classes give `y\.astype\(int\)`; for values .* regression"),
    "names": ({"targets.label": np.full(N, "a")}, r"give their numbers, and names as `classes`: .*return_inverse=True"),
    "negative label": ({"targets.label": np.full(N, -1)}, r"targets\.label: class numbers"),
    "unnamed class": ({"classes": np.array(["a", "b"])}, r"targets\.label: 2 classes have names; received class 2"),
    "equal names": ({"classes": np.array(["a", "a", "b"])}, r"classes: different names"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN)
def test_a_wrong_array_is_named_by_file_and_key(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        load_from(tmp_path, arrays(**change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"inputs.token": None},
            r"test\.npz: inputs\.token: integers \[n, 4\] as in training .* nothing",
        ),
        (
            {"inputs.wave": np.zeros((N, 5, 3))},
            r"test\.npz: inputs\.wave: floats \[n, 5, 2\] .* floats \[n, 5, 3\]",
        ),
        ({"inputs.token": np.zeros((N, 4))}, r"test\.npz: inputs\.token: integers \[n, 4\] .* received floats"),
        ({"targets.label": np.full(N, 3)}, r"test\.npz: targets\.label: classes under 3 expected; received 3"),
    ],
)
def test_a_test_file_that_is_not_as_training_is_refused(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        load_from(tmp_path, test=arrays(**change))


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(DataError, match=r"train\.npz: no such file; prepare\.path"):
        load(Prepare(source="npz", path=str(tmp_path)))
    whole = load_from(tmp_path) and (tmp_path / "train.npz").read_bytes()
    for damaged in (b"", b"junk", whole[:-200], whole[:100] + b"\0" * 8 + whole[108:]):
        (tmp_path / "train.npz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"train\.npz: .*cannot be read"):
            load(Prepare(source="npz", path=str(tmp_path)))


def ready(source, **section):
    entries = preprocessing(source, source.train, Prepare(source="npz", path=".", **section))
    entries = json.loads(json.dumps(entries))
    return entries, {name: preprocess.apply(entries["inputs"][name], raw) for name, raw in source.train.inputs.items()}


def test_arrays_reach_the_model_as_they_are(tmp_path):
    source = load_from(tmp_path, arrays(**{"targets.depth": np.zeros((20, 2))}))
    described, made = ready(source)
    assert np.array_equal(made["wave"], source.train.inputs["wave"])
    assert np.array_equal(made["token"], source.train.inputs["token"])
    assert (made["wave"].dtype, made["token"].dtype) == (np.float32, np.int32)
    for name, array in made.items():
        spec = dataset.tensor_spec(described["inputs"][name])
        size = 9 if name == "token" else None  # which an embedding of them must have
        assert (spec.shape, spec.dtype, spec.vocabulary_size) == (array.shape[1:], str(array.dtype), size)
    assert described["targets"] == {
        "label": {"kind": "class", "classes": ["0", "1", "2"]},
        "depth": {"kind": "value", "shape": [2]},
    }


def test_standardised_arrays_have_mean_0_and_deviation_1_along_the_last_axis(tmp_path):
    given = arrays()
    given["inputs.wave"][..., 1] = 0.1  # never changes
    _, made = ready(load_from(tmp_path, given), normalize="standard")
    assert np.allclose(made["wave"][..., 0].mean(), 0, atol=1e-6)
    assert np.allclose(made["wave"][..., 0].std(), 1, atol=1e-6)
    assert np.allclose(made["wave"][..., 1], 0, atol=1e-6)
    assert made["token"].dtype == np.float32
    assert np.allclose(made["token"].std(axis=0), 1, atol=1e-6)


def test_preprocessing_refuses_what_the_model_does_not_read(tmp_path):
    described, _ = ready(load_from(tmp_path))
    for name, raw in (("wave", np.zeros((3, 5))), ("token", np.zeros((3, 4))), ("token", np.zeros((3, 5), int))):
        with pytest.raises(ValueError, match=r"(numbers|integers) \[n, .*\] expected; received"):
            preprocess.apply(described["inputs"][name], raw)


def anomalies(tmp_path, test=True, **more):
    given = arrays(**{"inputs.token": None, "targets.label": (np.arange(20) % 4 == 0).astype(int), **more})
    return load_from(tmp_path, given, given if test else None)


def test_a_reconstruction_is_trained_on_what_is_normal_and_judged_on_both(tmp_path):
    params = Prepare(
        source="npz", path=".", task="reconstruction", validation=0.4, split={"repeats": "allowed"}
    )  # the test has the arrays of training
    source = anomalies(tmp_path)
    splits = split(source, params)
    assert set(splits["train"].targets["label"]) == set(splits["calibration"].targets["label"]) == {0}
    assert set(splits["validation"].targets["label"]) == set(splits["test"].targets["label"]) == {0, 1}
    assert (len(splits["train"]), len(splits["validation"])) == (9, 8)
    assert preprocessing(source, splits["train"], params)["targets"]["label"]["kind"] == "anomaly"


def test_data_that_cannot_judge_a_reconstruction_is_refused(tmp_path):
    params = Prepare(source="npz", path=".", task="reconstruction", validation=0.1)
    with pytest.raises(DataError, match="the validation split needs normal and anomalous examples"):
        split(anomalies(tmp_path, **{"targets.label": np.arange(20) // 19}), params)
    with pytest.raises(DataError, match="received 2 inputs and 3 classes"):
        split(load_from(tmp_path, test=arrays()), params)
