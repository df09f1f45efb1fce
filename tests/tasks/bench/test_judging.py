"""What is judged is kept where it is answered: the same as of the answers themselves, and no more than that comes."""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax

from tasks import closure
from tasks.bench import judging, predict
from tasks.bench.request import Artifact
from tasks.bench.runner import arrays, keeping
from tasks.bench.runner.arrays import Example
from tasks.bench.transport import Local
from tasks.errors import DeviceError, InvalidError, ParamsError, UnsupportedError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, RECONSTRUCTION, REFERENCE, TEXT_BYTES
from tasks.quality.score import grade, keep, score
from tasks.records import ArtifactCard, Tensor
from tasks.records.metrics import METRICS, Metric
from tasks.registry import named
from tests.language import bigram

WORDS, LENGTH, WIDTH = 7, 16, 4096
# by the task that a metric judges, or by the metric where it judges some alone: what is answered to `n` examples, and
# their targets
TASKS = {
    "classification": lambda rng, n: (rng.random((n, 5), np.float32), {LABEL: rng.integers(0, 5, n)}),
    "sensitivity-95": lambda rng, n: (rng.random((n, 2), np.float32), {LABEL: rng.integers(0, 2, n)}),
    "multilabel": lambda rng, n: (rng.random((n, 3), np.float32), {LABEL: rng.integers(0, 2, (n, 3))}),
    "regression": lambda rng, n: (rng.normal(size=(n, 2)).astype("f4"), {LABEL: rng.normal(size=(n, 2)).astype("f4")}),
    "reconstruction": lambda rng, n: (
        rng.normal(size=(n, 9, 7)).astype("f4"),
        {LABEL: rng.integers(0, 2, n), RECONSTRUCTION: rng.normal(size=(n, 9, 7)).astype("f4")},
    ),
    "language": lambda rng, n: (
        rng.normal(size=(n, 6, 11)).astype("f4"),
        {
            LABEL: rng.integers(0, 11, (n, 6)),
            TEXT_BYTES: rng.integers(6, 12, n),
            REFERENCE: rng.normal(size=(n, 6, 11)).astype("f4"),
        },
    ),
}


def parts(outputs: np.ndarray, ends: list[int]) -> Iterator[keeping.Part]:
    edges = sorted({0, len(outputs), *(end % len(outputs) for end in ends)})
    for start, end in pairwise(edges):
        yield slice(start, end), {"scores": outputs[start:end]}


@given(st.sampled_from(list(METRICS.members)), st.integers(1, 60), st.integers(0, 9), st.lists(st.integers(0, 59)))
def test_whatever_is_asked_together_each_metric_keeps_bit_by_bit_the_same(
    name: str, n: int, seed: int, ends: list[int]
) -> None:
    metric = METRICS.load(name)
    outputs, targets = TASKS[name if name in TASKS else metric.task](np.random.default_rng(seed), n)
    asked = {each: targets[each] for each in metric.asks}
    beside = (lambda part: targets[REFERENCE][part]) if metric.beside else None
    told, values = keeping.keep(parts(outputs, ends), "scores", named(metric.keep), asked, beside)
    here = keep(outputs, targets, name)
    assert (values.dtype, values.tobytes()) == (here.values.dtype, here.values.tobytes())
    assert told == {"n": n, "sha256": here.sha256, "bad": 0, "first_bad": None, "refused": None}


@given(st.integers(1, 40), st.lists(st.integers(0, 39)), st.sets(st.integers(0, 39), max_size=4))
def test_what_is_no_number_is_counted_and_never_judged(n: int, ends: list[int], places: set[int]) -> None:
    bad = sorted(place for place in places if place < n)
    outputs = np.ones((n, 3), np.float32)
    for k, place in enumerate(bad):
        outputs[place, k % 3] = (np.nan, np.inf)[k % 2]

    def strict(values: Any, _targets: Any) -> Any:
        assert np.isfinite(values).all()
        return values.argmax(axis=1)

    told, values = keeping.keep(parts(outputs, ends), "scores", strict, {})
    assert (told["n"], told["bad"], told["first_bad"]) == (n, len(bad), bad[0] if bad else None)
    assert bad or values.tolist() == [0] * n


@pytest.mark.parametrize("name", METRICS.members)
def test_the_file_that_is_sent_needs_numpy_alone(name: str) -> None:
    path = closure.place(METRICS.load(name).keep.partition(":")[0])
    assert path is not None
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    tops = {(node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]
            for node in imports}  # fmt: skip
    assert tops <= {"numpy", *sys.stdlib_module_names}
    assert all(isinstance(node, ast.Import) or not node.level for node in imports)


class Wide:
    """A model whose answer to one number is a million of them."""

    inputs: ClassVar = {"x": None}

    def prepare(self, columns: dict[str, Any]) -> list[Example]:
        return [[("x", row)] for row in columns["x"]]

    def put(self, example: Example) -> None:
        ((_, self.given),) = example

    def invoke(self) -> None:
        self.answered = np.full((1, 10**6), self.given[0], np.float32)

    def read(self) -> list[Any]:
        return [self.answered]

    def floats(self, rows: list[list[Any]]) -> dict[str, Any]:
        return {"scores": np.concatenate([row[0] for row in rows])}


def test_the_runner_never_holds_more_than_a_few_wide_answers() -> None:
    held = []

    def first(values: Any, _targets: Any) -> Any:
        held.append(values.nbytes)
        return values[:, 0]

    model, column = Wide(), np.arange(100, dtype=np.float32)[:, None]
    _, values = keeping.keep(keeping.answered(model, {"x": column}, model.invoke), "scores", first, {})  # type: ignore[arg-type]
    assert values.tolist() == list(range(100))
    assert max(held) <= keeping.BLOCK
    assert sum(held) == 4e8


@pytest.fixture
def wide(described: Callable[[str], Artifact], tmp_path: Path) -> Artifact:
    """A file that gives every token of a text a row of 4,096 scores, as a card describes it."""
    path = tmp_path / "wide.tflite"
    path.write_bytes(bigram(np.random.default_rng(1).random((WORDS, WIDTH), np.float32), LENGTH))
    card: ArtifactCard = described("float32").card.model_copy(
        update={
            "variant": "wide",
            "inputs": (Tensor(name="tokens", shape=(LENGTH,), dtype="int32"),),
            "outputs": (Tensor(name="scores", shape=(LENGTH, WIDTH), dtype="float32"),),
        }
    )
    return Artifact(card, path)


def scoring(described: Callable[[str], Artifact], path: Path, scores: np.ndarray) -> Artifact:
    """A file that tells the scores of the next token behind each, which do not hang from those before."""
    path.write_bytes(bigram(scores, LENGTH))
    tokens = Tensor(name="tokens", shape=(LENGTH,), dtype="int32")
    answer = Tensor(name="scores", shape=(LENGTH, scores.shape[1]), dtype="float32")
    update = {"variant": path.stem, "inputs": (tokens,), "outputs": (answer,)}
    return Artifact(described("float32").card.model_copy(update=update), path)


def test_answers_are_compared_with_the_reference_s_where_both_are_given(
    described: Callable[[str], Artifact], tmp_path: Path
) -> None:
    """Against scipy's relative entropy of the two tables; only two numbers a text come back."""
    rng = np.random.default_rng(3)
    tables = rng.normal(size=(2, WORDS, WIDTH)).astype(np.float32) * 3
    own, other = (
        scoring(described, tmp_path / f"{name}.tflite", table) for name, table in zip("ab", tables, strict=True)
    )
    tokens = rng.integers(0, WORDS, (40, LENGTH), np.int32)
    following = rng.integers(0, WORDS, (40, LENGTH))
    examples = Arrays({"tokens": tokens}, {LABEL: following, TEXT_BYTES: np.full(40, LENGTH)})
    apart = rel_entr(softmax(tables[1].astype("f8"), axis=1), softmax(tables[0].astype("f8"), axis=1)).sum(axis=1)
    same = (tables[0].argmax(axis=1) == tables[1].argmax(axis=1)).astype(float)
    for metric, of_each in (("kl-divergence", apart), ("same-top", same)):
        session = Weighed()
        asked = judging.questions(tmp_path, metric, examples, metric, other)
        there, _ = judging.kept(own, asked, replace(predict.litert(), session=session))
        np.testing.assert_allclose(there.values, of_each[tokens].mean(axis=1), rtol=1e-5)
        assert session.bytes < 1000
        itself, _ = judging.kept(other, asked, predict.litert())
        np.testing.assert_allclose(itself.values, metric == "same-top", atol=1e-12)
        with pytest.raises(ParamsError, match=f"'{metric}' compares answers with the reference's, and here is none"):
            judging.questions(tmp_path, metric, examples, metric)


def test_a_reference_that_answers_no_numbers_is_told(described: Callable[[str], Artifact], tmp_path: Path) -> None:
    table = np.ones((WORDS, 9), np.float32)
    own = scoring(described, tmp_path / "own.tflite", table)
    table[3, 4] = np.nan
    other = scoring(described, tmp_path / "other.tflite", table)
    tokens = np.full((2, LENGTH), 3, np.int32)
    examples = Arrays({"tokens": tokens}, {LABEL: tokens, TEXT_BYTES: np.full(2, LENGTH)})
    asked = judging.questions(tmp_path, "q", examples, "kl-divergence", other)
    there, _ = judging.kept(own, asked, predict.litert())
    assert there.refused == "the reference answers with what is no finite number, so nothing can be compared with it"
    there, _ = judging.kept(other, asked, predict.litert())
    assert (there.bad, there.first_bad) == (2, 0)


REDUCTION = '''
"""Of each text the score of every next token, which the targets name."""
import numpy as np


def of_next(outputs, targets):
    if targets["next"].shape != outputs.shape[:2]:
        raise ValueError("another length")
    return np.take_along_axis(outputs, targets["next"][..., None], 2)[..., 0].astype(np.float64)
'''


@pytest.fixture
def of_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A metric with a file of its own, as a plug-in has one."""
    (tmp_path / "toy_of_next.py").write_text(REDUCTION)
    monkeypatch.syspath_prepend(tmp_path)
    metric = Metric(
        task="classification",
        keep="toy_of_next:of_next",
        asks=("next",),
        value=lambda kept, _truth: float(kept.mean()),
        interval=lambda kept, _truth: (float(kept.min()), float(kept.max())),
        paired=lambda *_: None,  # type: ignore[arg-type,return-value]
        naive=lambda *_: 0.0,
    )
    load = METRICS.load
    monkeypatch.setattr(METRICS, "load", lambda name: metric if name == "of-next" else load(name))
    return "of-next"


def texts(n: int) -> Arrays:
    rng = np.random.default_rng(2)
    tokens, following = rng.integers(0, WORDS, (n, LENGTH), np.int32), rng.integers(0, WIDTH, (n, LENGTH))
    return Arrays({"tokens": tokens}, {LABEL: np.zeros(n, np.int64), "next": following})


class Weighed(Local):
    """This machine, and how many bytes came back from it."""

    bytes = 0

    def run(self, request: Any, files: Any, results: Any, **options: Any) -> Any:
        answer = super().run(request, files, results, **options)
        self.bytes += sum(path.stat().st_size for path in results.values())
        return answer


def test_of_wide_answers_only_what_the_metric_keeps_comes_back(wide: Artifact, of_next: str, tmp_path: Path) -> None:
    examples, session = texts(40), Weighed()
    asked = judging.questions(tmp_path, "test", examples, of_next)
    there, _ = judging.kept(wide, asked, replace(predict.litert(), session=session))
    outputs = predict.predict(wide.path, examples)[0]["scores"]
    here = keep(outputs, examples.targets, of_next)
    assert here.values.tobytes() == there.values.tobytes()
    assert replace(here, values=there.values) == there
    assert outputs.nbytes == 40 * LENGTH * WIDTH * 4  # 10 MB
    assert session.bytes < there.values.nbytes + 1000  # 5 kB
    found = grade(there, examples.targets[LABEL], "default", "test", of_next)
    assert np.array(found.kept).shape == (40, LENGTH)


def test_a_metric_that_cannot_judge_says_so_and_an_output_that_is_not_there_is_told(
    wide: Artifact, of_next: str, tmp_path: Path, described: Callable[[str], Artifact]
) -> None:
    examples = texts(3)
    short = examples.also({"next": examples.targets["next"][:, 1:]})
    there, _ = judging.kept(wide, judging.questions(tmp_path, "short", short, of_next), predict.litert())
    assert there.refused == "another length"
    with pytest.raises(InvalidError, match=r"^another length$"):
        grade(there, examples.targets[LABEL], "default", "test", of_next)
    two = described("two")
    rng = np.random.default_rng(0)
    pair = Arrays({"a": rng.random((4, 3), np.float32), "b": rng.random((4, 3), np.float32)}, {})
    asked = judging.questions(tmp_path, "two", pair)
    outputs = predict.predict(two.path, pair)[0]
    for name in ("product", "difference"):
        card = two.card.model_copy(update={"outputs": (Tensor(name=name, shape=(3,), dtype="float32"),)})
        np.testing.assert_array_equal(
            judging.kept(Artifact(card, two.path), asked, predict.litert())[0].values, outputs[name]
        )
    card = two.card.model_copy(update={"outputs": (Tensor(name="label", shape=(3,), dtype="float32"),)})
    with pytest.raises(DeviceError, match=r"the runtime gives \w+, \w+; label is judged, and not there"):
        judging.kept(Artifact(card, two.path), asked, predict.litert())
    with pytest.raises(UnsupportedError, match="custom: the runtime refuses it: "):
        judging.kept(
            described("custom"),
            judging.questions(tmp_path, "one", Arrays({"x": np.ones((1, 3), np.float32)}, {})),
            predict.litert(),
        )


@pytest.mark.parametrize("name", ["float32", "int8", "int16x8"])
def test_a_score_is_what_it_is_of_the_outputs_themselves(
    described: Callable[[str], Artifact], images: np.ndarray, tmp_path: Path, name: str
) -> None:
    artifact, n = described(name), len(images)
    examples = Arrays({"image": images}, {LABEL: np.arange(n) % 3})
    (outputs,) = predict.predict(artifact.path, examples)[0].values()
    for metric in ("accuracy", "f1"):
        there, _ = judging.kept(artifact, judging.questions(tmp_path, metric, examples, metric), predict.litert())
        found = grade(there, examples.targets[LABEL], "default", "test", metric)
        assert found == score(outputs, examples, "default", "test", metric)


def test_a_file_of_arrays_is_read_where_it_is_looked_at(tmp_path: Path) -> None:
    given = {
        "plain": np.arange(12, dtype=np.int16).reshape(3, 4), "by columns": np.asfortranarray(np.eye(3)),
        "none": np.zeros((0, 5)), "one": np.float32([1]), "named|" + "x" * 70: np.arange(5) > 2,
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", **given)
    found = arrays.mapped(str(tmp_path / "a.npz"))
    assert found.keys() == given.keys()
    for name, array in given.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    np.savez_compressed(tmp_path / "b.npz", **given)
    with pytest.raises(ValueError, match=r"plain\.npy is compressed, so it cannot be mapped"):
        arrays.mapped(str(tmp_path / "b.npz"))
