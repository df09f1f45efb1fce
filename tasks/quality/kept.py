"""What metrics keep of outputs, float32 `[n, ...]`, given the targets that they name: one function each.

Where a model's outputs are, the runner loads this very file, on machines that have nothing of Tercet. So it imports
numpy and the standard library alone, and each example's result is its own: it is the same whatever others are asked
with it. A ValueError says that answers are not such as the metric judges.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TEN = 10
Targets = Mapping[str, Array]


def likeliest(outputs: Array, _targets: Targets) -> Array:
    """The class of the highest output of each example: int64 [n]."""
    found: Array = outputs.argmax(axis=1)
    return found


def of_classes(outputs: Array, _targets: Targets) -> Array:
    """The score of each class: float64 [n, classes]."""
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ValueError(f"a score of each class expected; the answers are {list(outputs.shape[1:])} of each example")
    found: Array = outputs.astype(np.float64)
    return found


def of_the_second(outputs: Array, _targets: Targets) -> Array:
    """The score of the second of two classes over that of the first: float64 [n]."""
    if outputs.ndim != 2 or outputs.shape[1] != 2:
        raise ValueError(
            f"the scores of two classes expected; the answers are {list(outputs.shape[1:])} of each example"
        )
    found: Array = outputs[:, 1].astype(np.float64) - outputs[:, 0]
    return found


def labels(outputs: Array, targets: Targets) -> Array:
    """The score of each label: float64 [n, labels]."""
    wanted, received = targets["label"].shape, outputs.shape
    if wanted != received:
        raise ValueError(f"the answers are {list(received[1:])} of each example, its labels {list(wanted[1:])}")
    found: Array = outputs.astype(np.float64)
    return found


def reconstruction_errors(outputs: Array, targets: Targets) -> Array:
    """How far each example lies from what it was, as the mean squared error: float64 [n]."""
    difference = outputs.astype(np.float64) - targets["reconstruction"]
    errors: Array = np.square(difference).reshape(len(outputs), -1).mean(axis=1)
    return errors


def absolute(outputs: Array, targets: Targets) -> Array:
    """The mean absolute error of each example: float64 [n]."""
    found: Array = np.abs(_differences(outputs, targets)).mean(axis=1)
    return found


def squared(outputs: Array, targets: Targets) -> Array:
    """The mean squared error of each example: float64 [n]."""
    found: Array = np.square(_differences(outputs, targets)).mean(axis=1)
    return found


def directions(outputs: Array, targets: Targets) -> Array:
    """How right the sign of each value is, the mean of an example's: 1, 0, or a half where one of the two is 0."""
    given, wanted = _values(outputs, targets)
    found: Array = (0.5 + np.sign(given) * np.sign(wanted) / 2).mean(axis=1)
    return found


def recall_10(outputs: Array, targets: Targets) -> Array:
    """Whether what is true stands among the ten highest scores of each example: float64 [n]."""
    return _placed(outputs, targets, np.ones(TEN))


def ndcg_10(outputs: Array, targets: Targets) -> Array:
    """The discounted gain of what is true among the ten highest scores of each example: float64 [n]."""
    return _placed(outputs, targets, 1 / np.log2(np.arange(TEN) + 2))


def _placed(outputs: Array, targets: Targets, worth: Array) -> Array:
    """What the place of the true one is worth, by falling score; equal scores share what theirs are."""
    truth = targets["label"]
    if outputs.ndim != 2 or (truth.size and truth.max() >= outputs.shape[1]):
        raise ValueError(f"a score of each of {truth.max() + 1} expected; the answers are {list(outputs.shape[1:])}")
    own = np.take_along_axis(outputs, truth[:, None].astype(np.int64), axis=1)
    first, equal = (outputs > own).sum(axis=1), (outputs == own).sum(axis=1)
    total = np.append(0.0, np.cumsum(np.pad(worth, (0, max(0, outputs.shape[1] - TEN)))))
    found: Array = (total[first + equal] - total[first]) / equal
    return found


def nats_and_bytes(outputs: Array, targets: Targets) -> Array:
    """What the true tokens of each window cost, and the bytes that they stand for: float64 [n, 2]."""
    return np.stack([_nats(outputs, targets["label"]), targets["(bytes)"]], axis=1)


def nats_and_tokens(outputs: Array, targets: Targets) -> Array:
    """What the true tokens of each window cost, and how many they are: float64 [n, 2]."""
    nats = _nats(outputs, targets["label"])
    return np.stack([nats, np.full(len(nats), targets["label"].shape[1])], axis=1)


def _nats(outputs: Array, truth: Array) -> Array:
    """Minus the log of the softmax of scores [n, length, vocabulary] at the true tokens, added up: float64 [n]."""
    if outputs.ndim != 3 or outputs.shape[:2] != truth.shape:
        raise ValueError(
            f"{list(outputs.shape[1:])} is answered to each window; a score of every token at each of its "
            f"{truth.shape[1]} places expected"
        )
    if truth.size and truth.max() >= outputs.shape[2]:
        raise ValueError(f"{outputs.shape[2]} tokens have a score; the text has the token {truth.max()}")
    scores = outputs.astype(np.float64)
    scores -= scores.max(axis=2, keepdims=True)
    true = np.take_along_axis(scores, truth[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    nats: Array = (np.log(np.exp(scores).sum(axis=2)) - true).sum(axis=1)
    return nats


def divergence(outputs: Array, targets: Targets) -> Array:
    """The mean over its places of what `divergences` tells of each window: float64 [n]."""
    found: Array = divergences(outputs, targets).mean(axis=1)
    return found


def divergences(outputs: Array, targets: Targets) -> Array:
    """The Kullback-Leibler divergence, in nats, of the softmax of scores from the reference's: float64 [n, length]."""
    theirs = _reference(outputs, targets)
    found = np.empty(outputs.shape[:2])
    for i, j in np.ndindex(found.shape):  # one place at a time: a copy in float64 of all would be twice as large
        own, other = _logs(outputs[i, j]), _logs(theirs[i, j])
        found[i, j] = max(0.0, float(np.exp(other) @ (other - own)))
    return found


def same_top(outputs: Array, targets: Targets) -> Array:
    """At how many of its places of each window the likeliest token is the reference's: shares, float64 [n]."""
    found: Array = (outputs.argmax(axis=2) == _reference(outputs, targets).argmax(axis=2)).mean(axis=1)
    return found


def continuations(outputs: Array, targets: Targets) -> Array:
    """The logarithm of the probability of each of k continuations in a window: float64 [n, k].

    Of the softmax of scores [n, length, vocabulary] at the places, at the tokens: both [n, k, tokens], -1 for none.
    """
    places, tokens = targets["(places)"], targets["(tokens)"]
    if outputs.ndim != 3 or places.max() >= outputs.shape[1] or tokens.max() >= outputs.shape[2]:
        raise ValueError(
            f"{list(outputs.shape[1:])} is answered to each window; a score of every token, up to {tokens.max()}, at "
            f"each of its places, up to {places.max()}, expected"
        )
    found = np.zeros(places.shape[:2])
    for i in range(len(outputs)):
        for place in np.unique(places[i][places[i] >= 0]):
            here = places[i] == place
            found[i] += np.where(here, _logs(outputs[i, place])[tokens[i]], 0.0).sum(axis=1)
    return found


def _reference(outputs: Array, targets: Targets) -> Array:
    """What the reference answers to the same windows."""
    theirs = targets["(reference)"]
    if outputs.ndim != 3 or outputs.shape != theirs.shape:
        raise ValueError(
            f"{list(outputs.shape[1:])} is answered to each window, by the reference {list(theirs.shape[1:])}; as many "
            "scores at as many places expected"
        )
    if not np.isfinite(theirs).all():
        raise ValueError("the reference answers with what is no finite number, so nothing can be compared with it")
    return theirs


def _logs(scores: Array) -> Array:
    """The logarithm of the softmax of scores [vocabulary]: float64."""
    scores = scores.astype(np.float64)
    scores -= scores.max()
    found: Array = scores - np.log(np.exp(scores).sum())
    return found


def _differences(outputs: Array, targets: Targets) -> Array:
    given, wanted = _values(outputs, targets)
    difference: Array = given - wanted
    return difference


def _values(outputs: Array, targets: Targets) -> tuple[Array, Array]:
    """What is answered and what is true, float64 [n, values]: one number may be [n] or [n, 1]."""
    given, wanted = (np.asarray(a, np.float64).reshape(len(a), -1) for a in (outputs, targets["label"]))
    if given.shape != wanted.shape:
        raise ValueError(f"{given.shape[1]} values are answered for each example; {wanted.shape[1]} expected")
    return given, wanted
