"""What a change of one layer's weights alone does to a model, on validation examples; and what to choose from it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tasks.compress.kernels import Kernel
from tasks.compress.masks import Values
from tasks.examples.feed import feed, own_words
from tasks.training.losses import objective

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples
    from tasks.params import Training

EXAMPLES = 2000  # at most so many are looked at, for each change of each layer


class Quality(NamedTuple):
    """How good a model is on some examples."""

    loss: float  # lower is better
    value: float  # higher is better: the accuracy, or without one the loss as a share of the model's own, negative


Measure = Callable[[Iterable[tuple[Kernel, Values]]], Quality]
Curve = Sequence[tuple[float, float]]  # (share of the weights that go, loss), the shares rising


def measure(model: "tf_keras.Model", examples: "Examples", params: "Training") -> Measure:
    """A function that gives the quality of `model` with some weights replaced, and puts its own back.

    Args:
        model: it is compiled anew.
        examples: where more than EXAMPLES, so many are taken at even distances.
        params: what the model is going to be fitted with.
    """
    picked = np.linspace(0, len(examples) - 1, min(len(examples), EXAMPLES)).astype(np.int64)
    taken = examples.take(picked)
    aim = objective(model, taken, taken, params)
    model.compile(loss=aim.losses, metrics=aim.metrics)
    judged = feed(aim.judged, aim.validation)
    evaluate = own_words()(partial(model.evaluate, judged, verbose=0, return_dict=True))
    own_loss = evaluate()["loss"]

    def quality(replaced: Iterable[tuple[Kernel, Values]]) -> Quality:
        pairs = list(replaced)
        before = [kernel.weight.numpy() for kernel, _ in pairs]
        for kernel, values in pairs:
            kernel.weight.assign(values)
        metrics = evaluate()
        for (kernel, _), values in zip(pairs, before, strict=True):
            kernel.weight.assign(values)
        accuracies = [value for name, value in metrics.items() if name.endswith("accuracy")]
        value = float(np.mean(accuracies)) if accuracies else -metrics["loss"] / own_loss
        return Quality(metrics["loss"], value)

    return quality


def allocate(curves: Mapping[str, Curve], sizes: Mapping[str, int], sparsity: float) -> dict[str, float]:
    """The share of each layer's weights that goes, so that `sparsity` of all goes at the least sum of losses.

    Each curve is taken by its lower convex hull, for which spending where a weight costs least is optimal (the
    layers are taken to add up, as in LeCun et al., "Optimal Brain Damage", 1989).

    Args:
        curves: of each layer; the first share of each is what is gone anyhow.
        sizes: weights of each layer.
        sparsity: of all of them; no layer goes beyond its curve's last share.
    """
    shares = {name: curve[0][0] for name, curve in curves.items()}
    left = sparsity * sum(sizes.values()) - sum(shares[name] * sizes[name] for name in curves)
    steps = [
        ((loss - before) / ((share - start) * sizes[name]), name, share - start)
        for name, curve in curves.items()
        for (start, before), (share, loss) in pairwise(_lower_hull(curve))
    ]
    for _, name, width in sorted(steps, key=lambda step: step[0]):
        taken = min(width * sizes[name], max(left, 0.0))
        shares[name] += taken / sizes[name]
        left -= taken
    return shares


def _lower_hull(curve: Curve) -> list[tuple[float, float]]:
    """The corners of the lower convex hull: A. M. Andrew's monotone chain (1979)."""
    hull: list[tuple[float, float]] = []
    for x, y in curve:
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (x - hull[-2][0]) >= (y - hull[-2][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    return hull
