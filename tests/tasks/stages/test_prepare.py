import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.examples import Arrays, dataset, features, preprocess
from tasks.examples.dataset import Source
from tasks.examples.split import split
from tasks.params import Prepare
from tasks.stages import prepare as stage
from tests import least


def params(**prepare):
    return least.params(prepare)


def numbered(labels, test=None):
    """A source whose inputs are their own indices."""
    labels = np.array(labels, np.int64)
    train = Arrays({"image": np.arange(len(labels))}, {"label": labels})
    return Source({"image": "image"}, train, test, tuple(map(str, range(max(2, labels.max() + 1)))), {})


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(
    st.lists(st.integers(0, 3), min_size=20, max_size=120),
    st.floats(0.05, 0.5),
    st.floats(0.05, 0.5),
    st.one_of(st.none(), st.integers(10, 60)),
    st.integers(0, 1000),
)
def test_splits_are_disjoint_stratified_and_together_the_whole(labels, validation, test, limit, seed):
    source = numbered(labels)
    chosen = Prepare(
        source="digits", validation=validation, test=test, limit=limit, seed=seed, calibration=7, normalize="unit"
    )
    try:
        splits = split(source, chosen)
    except DataError:  # a share that rounds to nothing
        reject()
    indices = {name: set(examples.inputs["image"].tolist()) for name, examples in splits.items()}
    assert not indices["train"] & indices["validation"]
    assert not indices["train"] & indices["test"]
    assert not indices["validation"] & indices["test"]
    assert indices["calibration"] <= indices["train"]
    assert len(indices["calibration"]) == min(7, len(indices["train"]))
    if limit is None:
        assert indices["train"] | indices["validation"] | indices["test"] == set(range(len(labels)))
        for each in set(labels):
            taken = np.sum(splits["test"].targets["label"] == each)
            assert abs(taken - test * labels.count(each)) <= 1
    else:
        assert all(len(examples) <= limit for examples in splits.values())
    for examples in splits.values():  # rows stayed together
        assert [labels[i] for i in examples.inputs["image"]] == examples.targets["label"].tolist()


def test_a_source_with_a_test_split_keeps_it_whole_and_in_order():
    own = Arrays({"image": np.arange(100, 103)}, {"label": np.array([1, 0, 1])})
    splits = split(numbered([0, 1] * 20, test=own), Prepare(source="digits", validation=0.25))
    assert splits["test"].inputs["image"].tolist() == [100, 101, 102]
    assert (len(splits["train"]), len(splits["validation"])) == (30, 10)


def test_too_little_data_is_an_error_that_names_the_split():
    with pytest.raises(DataError, match="the validation split of 4 examples is empty"):
        split(numbered([0, 1, 0, 1]), Prepare(source="digits", test=0.5, validation=0.1))
    with pytest.raises(DataError, match="at least two classes expected; received dull alone"):
        split(Source({"image": "image"}, numbered([0, 0]).train, None, ("dull",), {}), Prepare(source="digits"))


def test_the_same_parameters_give_the_same_bytes_and_another_seed_others(project):
    stage.prepare(params(source="digits"))
    first = contents(project / "out" / "data")
    stage.prepare(params(source="digits", seed=1))
    other = contents(project / "out" / "data")
    stage.prepare(params(source="digits"))
    assert contents(project / "out" / "data") == first
    assert other["train/inputs.image.npy"] != first["train/inputs.image.npy"]
    assert [path.name for path in (project / "out").iterdir()] == ["data"]  # nothing temporary left


def test_the_card_says_what_was_written(project):
    stage.prepare(params(source="digits", calibration=50))
    files = contents(project / "out" / "data")
    card = json.loads(files.pop("card.json"))
    assert card["sha256"] == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert card["counts"] == {"train": 1294, "validation": 144, "test": 359, "calibration": 50}
    assert card["class_counts"]["test"]["0"] == 36  # 0.2 of 178 is 35.6
    assert {name: sum(counts.values()) for name, counts in card["class_counts"].items()} == card["counts"]
    assert card["inputs"] == {"image": {"shape": [28, 28, 1], "dtype": "float32"}}
    assert list(card["origin"]) == ["digits.csv.gz"]
    assert (card["source"], card["kind"], card["seed"]) == ("digits", "image", 0)


def test_a_failing_source_leaves_the_old_output(project):
    stage.prepare(params(source="digits"))
    before = contents(project / "out" / "data")
    with pytest.raises(DataError):
        stage.prepare(params(source="idx", path="nowhere"))
    assert contents(project / "out" / "data") == before


def test_channel_statistics_agree_with_numpy(monkeypatch):
    monkeypatch.setattr(features, "CHUNK", 7)
    images = np.random.default_rng(0).integers(0, 256, (25, 6, 5, 3), np.uint8)
    images[..., 2] = 9  # never changes
    mean, deviation = features.channel_statistics(images)
    assert np.allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    assert np.allclose(deviation, images.std(axis=(0, 1, 2)), rtol=1e-9)
    source = Source(
        {"image": "image"}, Arrays({"image": images}, {"label": np.zeros(25, np.int64)}), None, ("a", "b"), {}
    )
    entry = features.preprocessing(source, source.train, Prepare(source="digits", normalize="standard"))["inputs"][
        "image"
    ]
    assert entry["scale"][2] == 1.0


def test_channel_statistics_take_little_beside_the_images():
    """A thousand photographs of 512 x 512 are 0.8 GB, and eight bytes of each number and of its square 13."""
    images = np.random.default_rng(0).integers(0, 256, (64, 512, 512, 3), np.uint8)
    tracemalloc.start()
    try:
        mean, deviation = features.channel_statistics([images])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes / 2
    assert np.allclose(mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    assert np.allclose(
        deviation, np.sqrt([np.square(images[..., i].astype("f8")).mean() - mean[i] ** 2 for i in range(3)])
    )


def test_images_are_decoded_so_many_at_a_time_as_their_size_allows(project, monkeypatch):
    """However large they are: a number of images would be any number of bytes."""
    decoded = []
    source = numbered(np.arange(30) % 2)
    images = Arrays({"image": np.zeros((30, 32, 32, 3), np.uint8)}, source.train.targets)
    monkeypatch.setattr(features, "CHUNK", 10 * 32 * 32 * 3)
    monkeypatch.setattr(Arrays, "arrays", lambda self: decoded.append(len(self)) or self)
    features.describe("image", "image", images, Prepare(source="digits", normalize="standard"), -1)
    assert decoded == [1, 10, 10, 10]


def test_a_vocabulary_is_ranked_by_count_then_alphabet_and_cut():
    texts = np.array(["e c a a", "d b c b a"])
    assert features.vocabulary(texts, 100) == ["[padding]", "[unknown]", "a", "b", "c", "d", "e"]
    assert features.vocabulary(texts, 4) == ["[padding]", "[unknown]", "a", "b"]


def test_two_words_in_a_row_are_a_token_where_it_is_asked_for():
    texts = np.array(["not good", "not good", "good, not bad"])
    known = features.vocabulary(texts, 6, pairs=True)
    assert known == ["[padding]", "[unknown]", "good", "not", "not good", ","]
    entry = {"kind": "text", "length": 5, "vocabulary": known, "bigrams": True}
    ready = preprocess.apply(entry, np.array(["not good", "so not good", "good not good not good"]))
    assert ready.tolist() == [[3, 2, 4, 0, 0], [1, 3, 2, 4, 0], [2, 3, 2, 3, 2]]


def test_the_vocabulary_comes_from_the_training_split_only(project):
    lines = [f"shared own{index}\t{index % 2}" for index in range(40)]
    (project / "train.tsv").write_text("\n".join(lines))
    stage.prepare(params(source="tsv", path=".", validation=0.25, test=0.25))
    described = json.loads((project / "out/data/preprocess.json").read_text())
    train = dataset.load_raw("train").inputs["text"]
    tokens = {token for text in train for token in str(text).split()}
    assert set(described["inputs"]["text"]["vocabulary"][2:]) == tokens
    assert described["inputs"]["text"]["vocabulary"][2] == "shared"
    assert described["targets"] == {"label": {"kind": "class", "classes": ["0", "1"]}}


DAYS = [f"2024-01-{day:02}T12:00+01:00,{day * day},{day % 2}" for day in range(1, 31)]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("2024-03-01T12:00,5,1", "the test split: dates: column 'day': a date with its offset from UTC.*03-01T12:00"),
        ("2024-03-01T12:00Z,1e38,1", "the test split: numbers: finite numbers within float32 expected"),
    ],
)
def test_what_cannot_be_made_ready_later_is_not_prepared(project, row, told):
    """The first number differs so little in training that what is far from it has no place in float32."""
    (project / "test.csv").write_text("\n".join(["day,size,y", row]))
    rows = [line.replace(f",{day * day},", f",{1 + day * 1e-10},") for day, line in enumerate(DAYS, 1)]
    (project / "train.csv").write_text("\n".join(["day,size,y", *rows]))
    with pytest.raises(DataError, match=told) as caught:
        stage.prepare(params(source="csv", path=".", target="y", normalize="standard"))
    assert "\n" not in str(caught.value)
    assert not (project / "out" / "data").exists()


def test_integers_below_0_in_the_test_alone_are_no_numbers_of_things(project):
    """An embedding has no vector for them, and would be built for those of training."""
    for name, lowest in (("train", 0), ("test", -3)):
        x = np.random.default_rng(0).integers(lowest, 10, (60, 3))
        np.savez(project / f"{name}.npz", **{"inputs.x": x, "targets.label": np.arange(60) % 2})
    stage.prepare(params(source="npz", path=".", split={"repeats": "allowed"}))
    assert dataset.spec().inputs["x"].vocabulary_size is None
    with pytest.raises(DataError, match=r"prepare\.features\.x: integers from 0 expected of kind id"):
        stage.prepare(params(source="npz", path=".", split={"repeats": "allowed"}, features={"x": {"kind": "id"}}))


def test_a_label_that_no_model_is_judged_on_is_told(project, caplog):
    """Macro-AUC passes it over."""
    for name, rows in (("train", ["0,1,0", "1,0,0", "1,1,1"]), ("test", ["0,0,1", "1,0,1", "0,0,1"])):
        lines = [f"{place}{name == 'test':d},{rows[place % 3]}" for place in range(1, 31)]
        (project / f"{name}.csv").write_text("\n".join(["size,cat,dog,sky", *lines]))
    told = {"task": "multilabel", "target": ["cat", "dog", "sky"], "features": {"size": {"kind": "number"}}}
    stage.prepare(params(source="csv", path=".", **told))
    said = [line for line in caplog.messages if "the test split" in line]
    assert said == [
        "prepare: the test split has no example of dog: no model is judged on them",
        "prepare: the test split has no example without sky: no model is judged on them",
    ]
    assert "the train split has no example" not in caplog.text
