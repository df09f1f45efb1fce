"""Structured pruning: whole channels, units and attention heads are removed, so that every runtime gains.

Channels that additions, depthwise convolutions and the like tie together go together: see tasks/channels/groups.py.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tasks.channels import cost, estimate, saliency, selection, surgery
from tasks.channels.groups import Channels, Kept
from tasks.channels.saliency import Scores
from tasks.channels.tracing import trace
from tasks.compress import masks
from tasks.errors import ModelError
from tasks.foreign.flat import flat, is_flat
from tasks.members import CompressionMethod
from tasks.params.compress import Slim
from tasks.training import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples

TOLERANCE = 0.05  # how far under the share asked for the result may be, as a share of the whole
SLACK = 0.02  # likewise, where that ends the search for a latency, of which each candidate takes seconds
MULTIPLE = 16  # vector units compute so many channels in the time of fewer: see benchmarks/slimming.py
NARROW = "its layers are too narrow for so fine a step"
FLOORED = f"what its outputs need and {selection.FLOOR:.3g} of each layer's channels stay"
log = logging.getLogger(__name__)


def apply(
    model: "tf_keras.Model", params: Slim, train: "Examples", validation: "Examples", on_epoch: fit.OnEpoch
) -> tuple["tf_keras.Model", fit.History]:
    """Remove the channels that matter least until `params.keep` of the budget is left, and fine-tune what stays.

    Layers keep multiples of 16 channels (narrow ones of a smaller power of two) where the share can be reached so:
    other widths leave a part of a processor's vector unit idle, and at half the products gain little time.
    What was pruned stays pruned.

    Returns:
        A new model with the same names of layers (those of models within it, too), inputs and outputs, and the history
        of the fine-tuning.

    Raises:
        ModelError: a layer cannot be slimmed, or the budget or the widths cannot be reached; the message names it.
        ParamsError: the device does not exist or estimates no latency.
    """
    model = model if is_flat(model) else flat(model)
    channels = trace(model)
    if not channels.blocks:
        reasons = "; ".join(f"those of {name!r} {channels.fixed[made[0]]}" for name, made in channels.made.items())
        raise ModelError(f"slim: {model.name!r} has no channels that could go: {reasons or 'no layer makes any'}")
    scores = saliency.score(model, channels, train, params)
    if params.widths:
        kept = selection.by_widths(channels, params.widths, scores)
        if kept.all():
            raise ModelError("slim: widths: the layers named have just these widths already; ask for fewer channels")
    else:
        kept = _by_share(model, channels, scores, params, train)
    slimmed = surgery.remove(model, channels, kept)
    _log(model, channels, kept)
    callbacks = masks.keep(slimmed)
    return slimmed, fit.fit(slimmed, train, validation, params, label="slim", callbacks=callbacks, on_epoch=on_epoch)


def _by_share(model: "tf_keras.Model", channels: Channels, scores: Scores, params: Slim, train: "Examples") -> Kept:
    assert params.keep is not None  # the schema demands it where there are no widths
    costs = _costs(model, channels, params, train)
    whole = costs(channels.everything())
    if not whole:
        raise ModelError(f"slim: {model.name!r} has no {params.budget} to save")
    slack = SLACK * whole if params.budget == "latency" else 0.0
    scales = _scales(model, channels, scores, params)
    for multiple in (MULTIPLE, 1):
        units = selection.order(channels, scores, scales, params.scope, multiple)
        kept = selection.by_share(channels, units, costs, params.keep * whole, slack)
        reached = costs(kept) / whole
        if params.keep - TOLERANCE <= reached <= params.keep:
            return kept
    raise ModelError(
        f"slim: keep {params.keep:g} of the {params.budget} of {model.name!r} cannot be reached: "
        + (NARROW if reached < params.keep else FLOORED)
        + f"; the nearest is {reached:.3f}"
    )


def _scales(model: "tf_keras.Model", channels: Channels, scores: Scores, params: Slim) -> list[float]:
    """What the scores of each block are divided by before they are compared.

    A taylor score is in units of the loss wherever it is taken, so it is compared per what removing the group saves:
    the greedy answer to which channels to drop for a budget. The sizes of weights and of batch normalization's scales
    hang from a layer's place and width, so that l1 and bn would empty some layers and leave others whole; these are
    compared to their block's mean, as Torch-Pruning does.
    """
    if params.score != "taylor":
        return [float(scores[block].mean()) or 1.0 for block in channels.blocks]
    budget = "parameters" if params.budget == "parameters" else "macs"
    whole = getattr(cost.total(model, channels, channels.everything()), budget)
    saved = []
    for block in channels.blocks:
        rest = cost.total(model, channels, selection.without(channels, [block[:1]]))
        saved.append(max(1.0, float(whole - getattr(rest, budget))))
    return saved


def _costs(model: "tf_keras.Model", channels: Channels, params: Slim, train: "Examples") -> Callable[[Kept], float]:
    """What the budget counts, of the groups that stay; each set of them is looked at once."""
    known: dict[bytes, float] = {}

    def find(kept: Kept) -> float:
        if params.budget != "latency":
            return float(getattr(cost.total(model, channels, kept), params.budget))
        assert params.device is not None  # the schema demands it
        return estimate.latency_ms(surgery.remove(model, channels, kept), params.device, train)

    def costs(kept: Kept) -> float:
        if kept.tobytes() not in known:
            known[kept.tobytes()] = find(kept)
        return known[kept.tobytes()]

    return costs


def _log(model: "tf_keras.Model", channels: Channels, kept: Kept) -> None:
    widths = [
        f"{name} {np.count_nonzero(kept[made])} of {len(made)}"
        for name, made in channels.made.items()
        if not kept[made].all()
    ]
    log.info("slim: %s keeps the channels %s", model.name, ", ".join(widths))


METHOD = CompressionMethod(schema=Slim, apply=apply, reshapes=True)
