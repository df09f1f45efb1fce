"""Each metric against scikit-learn, and what holds of all of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import rel_entr, softmax
from sklearn import metrics as theirs

from tasks.errors import DataError, InvalidError, ParamsError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, RECONSTRUCTION, REFERENCE, TEXT_BYTES
from tasks.quality.score import Exam, paired, score
from tasks.records import gain
from tasks.records.metrics import METRICS, USUAL, judging

N = 80
JUDGES: dict[str, Any] = {  # of the truth and the outputs of `answered`
    "accuracy": lambda y, out: theirs.accuracy_score(y, out.argmax(1)),
    "f1": lambda y, out: theirs.f1_score(y, out.argmax(1), average="macro"),
    "ovr-auc": lambda y, out: np.mean([theirs.roc_auc_score(y == i, out[:, i]) for i in range(3)]),
    "sensitivity-95": lambda y, out: best_within(*theirs.roc_curve(y, out @ [-1, 1])[:2]),
    "recall-10": lambda y, out: theirs.top_k_accuracy_score(y, out, k=10, labels=range(14)),
    "ndcg-10": lambda y, out: theirs.ndcg_score(np.eye(14)[y], out, k=10),
    "auc": lambda y, out: theirs.roc_auc_score(y, np.square(out).mean(axis=1)),
    "macro-auc": lambda y, out: theirs.roc_auc_score(y, out, average="macro"),
    "mae": lambda y, out: theirs.mean_absolute_error(y, out),
    "direction": lambda y, out: theirs.accuracy_score(y > 0, out[:, 0] > 0),
    "rmse": lambda y, out: theirs.root_mean_squared_error(y, out[:, 0]),
    "bits-per-byte": lambda y, out: nats(y, out) * y.size / bytes_of(y).sum() / np.log(2),
    "perplexity": lambda y, out: np.exp(nats(y, out)),
    "kl-divergence": lambda y, out: rel_entr(softmax(told(y), axis=2), softmax(out, axis=2)).sum(axis=2).mean(),
    "same-top": lambda y, out: (told(y).argmax(axis=2) == out.argmax(axis=2)).mean(),
}

CLASSES = {"sensitivity-95": 2, "recall-10": 14, "ndcg-10": 14}  # of metrics that judge so many


def best_within(false: Any, true: Any) -> float:
    """The highest point of a curve where one in twenty is alarmed at most."""
    return float(true[false <= 0.05].max())


def told(tokens: Any) -> Any:
    """What the reference answers: the likeliest token is nearly always the true one."""
    return 2.0 * np.eye(5)[tokens] + np.sin(np.arange(tokens.size * 5)).reshape(*tokens.shape, 5)


def bytes_of(tokens: Any) -> Any:
    """A made-up number of bytes for each window."""
    return (1 + tokens % 3).sum(axis=1).astype(np.int64)


def nats(tokens: Any, scores: Any) -> float:
    """The mean of a token."""
    return theirs.log_loss(tokens.ravel(), softmax(scores.astype(np.float64), axis=2).reshape(-1, 5), labels=range(5))


def answered(task: str, seed: int, noise: float = 1.0, classes: int = 3) -> tuple[NDArray[np.float32], Arrays]:
    """Outputs that tell something of the truth, the less the more noise is in them; and the examples."""
    rng = np.random.default_rng(seed)
    targets: dict[str, Any] = {}
    if task == "classification":
        targets[LABEL] = np.arange(N) % classes
        outputs = np.eye(classes)[targets[LABEL]] + noise * rng.normal(size=(N, classes))
    elif task == "reconstruction":
        targets = {LABEL: np.arange(N) % 2, RECONSTRUCTION: np.zeros((N, 4))}
        outputs = (0.5 + targets[LABEL][:, None]) * (1 + noise * rng.normal(size=(N, 4)))
    elif task == "multilabel":
        targets[LABEL] = np.stack([np.arange(N) % 2, np.arange(N) % 5 == 0], axis=1).astype(np.int64)
        outputs = targets[LABEL] + noise * rng.normal(size=(N, 2))
    elif task == "language":
        targets[LABEL] = rng.integers(0, 5, (N, 6)).astype(np.uint8)
        targets[TEXT_BYTES], targets[REFERENCE] = bytes_of(targets[LABEL]), told(targets[LABEL])
        outputs = 2 * np.eye(5)[targets[LABEL]] + noise * rng.normal(size=(N, 6, 5))
    else:
        targets[LABEL] = rng.normal(size=N).astype(np.float32)
        outputs = (targets[LABEL] + noise * rng.normal(size=N))[:, None]
    return outputs.astype(np.float32), Arrays({"x": np.zeros((N, 1), np.float32)}, targets)


@pytest.mark.parametrize("name", METRICS.members)
def test_a_metric_is_what_scikit_learn_says(name: str) -> None:
    for seed in range(5):
        outputs, examples = answered(METRICS.load(name).task, seed, classes=CLASSES.get(name, 3))
        found = score(outputs, examples, "default", "test", name)
        assert found.value == pytest.approx(JUDGES[name](examples.targets[LABEL], outputs), abs=1e-6)
        assert found.low <= found.value <= found.high
        assert (found.metric, found.n) == (name, N)


@pytest.mark.parametrize("name", METRICS.members)
def test_two_variants_are_compared_by_what_their_records_keep(name: str) -> None:
    judge = METRICS.load(name)
    classes = CLASSES.get(name, 3)
    good, examples = answered(judge.task, 0, noise=0.4, classes=classes)
    poor, _ = answered(judge.task, 1, noise=4.0, classes=classes)
    known = {n: score(out, examples, "default", "validation", name) for n, out in (("good", good), ("poor", poor))}
    read = {n: type(each).model_validate_json(each.model_dump_json()) for n, each in known.items()}
    truth = examples.targets[LABEL]
    assert gain(judge.better, known["good"].value, known["poor"].value) > 0
    better, worse = paired(read["good"], read["poor"], truth), paired(read["poor"], read["good"], truth)
    same = paired(read["good"], read["good"], truth)
    assert better is not None
    assert worse is not None
    assert same is not None
    assert better.p_value < 0.06 > worse.p_value
    assert better.drop_bound == 0
    assert worse.drop_bound >= gain(judge.better, known["good"].value, known["poor"].value)
    # no more is told than by as many pairs of equal answers as the rarer kind has, of each label: Tango's bound
    told_by = {"auc": N // 2, "macro-auc": N // 2 + N // 5, "sensitivity-95": N // 2}.get(name)
    allowed = 0.04 if told_by is None else 2.7056 / (told_by + 2.7056)
    assert same.p_value == 1
    assert 0 <= same.drop_bound <= allowed + 1e-6


@pytest.mark.parametrize("name", [name for name in METRICS.members if METRICS.load(name).naive])
def test_what_looks_at_no_example_is_as_good_as_the_naive_baseline(name: str) -> None:
    judge = METRICS.load(name)
    _, examples = answered(judge.task, 2, classes=CLASSES.get(name, 3))
    _, train = answered(judge.task, 3, classes=CLASSES.get(name, 3))
    known = train.targets[LABEL]
    constant: Any = {
        "accuracy": np.eye(3)[np.full(N, np.bincount(known.astype(int).ravel()).argmax() if known.ndim == 1 else 0)]
        if judge.task == "classification"
        else None,
        "mae": np.full((N, 1), np.median(known)),
        "rmse": np.full((N, 1), known.mean()),
    }
    constant["sensitivity-95"], constant["direction"] = np.ones((N, 2)), np.full((N, 1), np.sign(np.sign(known).sum()))
    constant["recall-10"] = constant["ndcg-10"] = np.ones((N, 14))
    constant["f1"] = constant["accuracy"]
    constant["auc"], constant["macro-auc"], constant["ovr-auc"] = (np.ones((N, size)) for size in (4, 2, 3))
    often = np.bincount(known.astype(int).ravel(), minlength=5) + 1.0 if judge.task == "language" else np.ones(1)
    constant["bits-per-byte"] = constant["perplexity"] = np.broadcast_to(np.log(often), (N, 6, 5))
    assert judge.naive
    assert judge.naive(train.targets, examples.targets) == pytest.approx(
        score(constant[name], examples, "default", "test", name).value
    )


def test_each_task_has_its_usual_metric() -> None:
    for task, name in USUAL.items():
        outputs, examples = answered(task, 0)
        assert name in judging(task)
        assert score(outputs, examples, "default", "test").metric == name
        assert Exam(examples).score(outputs).metric == name


def test_a_metric_of_another_kind_of_data_is_refused_with_those_that_judge_it() -> None:
    outputs, examples = answered("classification", 0)
    with pytest.raises(ParamsError, match=r"'rmse', of regression; the data is of classification: accuracy, f1"):
        score(outputs, examples, "default", "test", "rmse")
    outputs, examples = answered("multilabel", 0)
    with pytest.raises(InvalidError, match=r"the answers are \[1\] of each example, its labels \[2\]"):
        score(outputs[:, :1], examples, "default", "test")
    bad = replace(examples, targets={LABEL: np.ones((N, 2), np.int64)})
    with pytest.raises(InvalidError, match="none of 2 labels"):
        score(outputs, bad, "default", "test")
    outputs, examples = answered("regression", 0)
    with pytest.raises(InvalidError, match="2 values are answered for each example; 1 expected"):
        score(np.repeat(outputs, 2, axis=1), examples, "default", "test")
    outputs, examples = answered("language", 0)
    with pytest.raises(
        InvalidError, match=r"\[5\] is answered to each window; a score of every token at each of its 6"
    ):
        score(outputs[:, -1], examples, "default", "test")
    with pytest.raises(InvalidError, match="4 tokens have a score; the text has the token 4"):
        score(outputs[:, :, :4], examples, "default", "test")


def test_answers_to_other_data_are_not_compared() -> None:
    outputs, examples = answered("classification", 0)
    found = score(outputs, examples, "default", "test")
    few = found.model_copy(update={"predictions": found.predictions[:2]})
    with pytest.raises(DataError, match=f"2 and {N} predictions for {N} test examples"):
        paired(few, found, examples.targets[LABEL])
    assert paired(found, found, None) is None
    assert paired(found, found.model_copy(update={"metric": "f1"}), examples.targets[LABEL]) is None
