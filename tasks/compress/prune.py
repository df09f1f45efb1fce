"""Pruning by magnitude while fine-tuning: Zhu and Gupta, "To prune, or not to prune" (2017).

Zeros fall singly, in blocks, or so many in each few along the inputs; equally everywhere, by layer, or where the
validation data feels them least. What was zero in the parent stays zero.
"""

import logging
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from tasks.compress import kernels, masks, sensitivity
from tasks.errors import ModelError
from tasks.members import CompressionMethod
from tasks.params.compress import Prune
from tasks.training import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.compress.kernels import Kernel
    from tasks.examples import Examples

RAMP = 0.5  # the share of the steps over which sparsity rises; the rest lets the remaining weights settle
UPDATES = 50  # at most so many times are the masks drawn anew
SHARES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)  # at which the sensitivity of a layer is looked at
SHOWN = 8  # layers in a message
log = logging.getLogger(__name__)


def apply(
    model: "tf_keras.Model", params: Prune, train: "Examples", validation: "Examples", on_epoch: fit.OnEpoch
) -> tuple["tf_keras.Model", fit.History]:
    """Set weights of every layer that has prunable ones to zero, fine-tuning meanwhile.

    Depthwise kernels, normalizations and biases are left; a custom layer names its weights by
    `get_prunable_weights`. With `pattern` the zeros fall along the inputs of each output, where they stand side by
    side in a LiteRT file, and all at once; else sparsity rises from the parent's to the target over the first half.

    Returns:
        A new model with exact zeros in its kernels, and the history of the fine-tuning.

    Raises:
        ModelError: no layer can be pruned so, none is to be, or `layers` names one that cannot.
    """
    pruned = kernels.copy(model)
    found = kernels.find(pruned, kernels.PRUNABLE)
    if params.pattern:
        held = masks.Hold(_patterned(found, params.pattern))
        callbacks = [held.callback]
    else:
        targets = _targets(pruned, found, params, validation)
        held = masks.Hold([(kernel, kernel.weight.numpy() != 0) for kernel in found])
        callbacks = [_rising(held, found, targets, params, len(train)), held.callback]
    history = fit.fit(pruned, train, validation, params, label="prune", callbacks=callbacks, on_epoch=on_epoch)
    _warn_of_dead_outputs(found)
    return pruned, history


def _patterned(found: list["Kernel"], pattern: str) -> list[tuple["Kernel", masks.Mask]]:
    """The mask of each kernel whose axis of inputs is known, drawn along that."""
    zeros, group = map(int, pattern.split(":"))
    drawn = []
    for kernel in found:
        values = kernel.weight.numpy()
        kept = values != 0
        if kernel.inputs is not None:
            last = np.moveaxis(values, kernel.inputs, -1)
            kept &= np.moveaxis(masks.by_pattern(last, zeros, group), -1, kernel.inputs)
        drawn.append((kernel, kept))
    if all(kept.all() for _, kept in drawn):
        few = f"none of the layers has {group} inputs or more: {_names(found)}"
        raise ModelError(f"prune: pattern {pattern}: nothing to prune, as {few}")
    return drawn


def _targets(model: "tf_keras.Model", found: list["Kernel"], params: Prune, validation: "Examples") -> dict[str, float]:
    """The sparsity of each layer that is to be pruned further."""
    assert params.sparsity is not None, "the schema asks for `sparsity` where there is no `pattern`"
    names = dict.fromkeys(kernel.layer for kernel in found)
    kernels.check_names(params.layers, names, model, "prune")
    free = [kernel for kernel in found if kernel.layer not in params.layers]
    chosen = dict.fromkeys((kernel.layer for kernel in free), params.sparsity)
    if params.allocate == "sensitivity":
        chosen = allocated(model, free, params, validation)
    targets = chosen | params.layers
    present = {name: _sparsity(kernel for kernel in found if kernel.layer == name) for name in names}
    further = {name: share for name, share in targets.items() if share > present[name]}
    if not further:
        raise ModelError(
            f"prune: nothing to do: every layer is to have at most the zeros that it has: {_shares(present)}"
        )
    pruned = [kernel for kernel in found if kernel.layer in further]
    goes = (kernel.weight.numpy()[~_mask(kernel, further[kernel.layer], params.block)] for kernel in pruned)
    if not any(values.any() for values in goes):
        unit = "block of {} inputs by {} outputs".format(*params.block) if params.block else "weight"
        raise ModelError(f"prune: nothing to do: so small a share of each layer is not one {unit}: {_names(pruned)}")
    log.info("prune: sparsity by layer: %s", _shares(further))
    return further


def allocated(
    model: "tf_keras.Model", found: list["Kernel"], params: Prune, validation: "Examples"
) -> dict[str, float]:
    """Sparsities whose mean over the weights of `found` is `params.sparsity`, more where the loss feels it less.

    Each layer alone is masked at several shares, without training, and the validation loss is looked at.
    """
    assert params.sparsity is not None, "the schema asks for `sparsity` where there is no `pattern`"
    measure = sensitivity.measure(model, validation, params)
    own = measure([]).loss
    layers: dict[str, list[Kernel]] = {}
    for kernel in found:
        layers.setdefault(kernel.layer, []).append(kernel)
    curves = {}
    for name, group in layers.items():
        present = _sparsity(group)
        shares = [share for share in sorted({*SHARES, max(*SHARES, params.sparsity)}) if share > present]
        losses = [measure(_masked(group, share, params.block)).loss for share in shares]
        curves[name] = [(present, own), *zip(shares, losses, strict=True)]
    sizes = {name: sum(kernel.size for kernel in group) for name, group in layers.items()}
    return sensitivity.allocate(curves, sizes, params.sparsity)


def _rising(held: masks.Hold, found: list["Kernel"], targets: dict[str, float], params: Prune, examples: int) -> object:
    """A callback that draws the masks anew while sparsity rises by the cube to each layer's target."""
    import tensorflow as tf

    steps = math.ceil(examples / params.batch_size) * params.epochs
    end = max(1, round(steps * RAMP))
    updates = {*range(0, end, max(1, end // UPDATES)), end}
    goals = {k: (_sparsity([k]), targets[k.layer]) for k in found if k.layer in targets}
    batches = tf.Variable(0, trainable=False)

    def draw() -> None:
        step = int(batches.assign_add(1))
        if step not in updates:
            return
        held.apply()  # what the optimizer let grow again is no candidate
        progress = 1 - (1 - step / end) ** 3
        for kernel, (start, goal) in goals.items():
            held.narrow(kernel, _mask(kernel, start + progress * (goal - start), params.block))

    return kernels.after_batch(draw, [batches])


def _masked(
    group: list["Kernel"], sparsity: float, block: tuple[int, int] | None
) -> list[tuple["Kernel", masks.Values]]:
    return [(kernel, kernel.weight.numpy() * _mask(kernel, sparsity, block)) for kernel in group]


def _mask(kernel: "Kernel", sparsity: float, block: tuple[int, int] | None) -> masks.Mask:
    """By magnitude; in blocks of inputs and outputs, each position of a convolution on its own."""
    values = kernel.weight.numpy()
    if block is None:
        return masks.by_magnitude(values, sparsity)
    if values.ndim < 2:
        raise ModelError(f"prune: block: layer {kernel.layer!r} has weights of one axis; leave it out by layers: 0")
    inputs = -2 if kernel.inputs is None else kernel.inputs
    kept = masks.by_magnitude(np.moveaxis(values, inputs, -2), sparsity, block)
    return np.moveaxis(kept, -2, inputs)


def _sparsity(found: Iterable["Kernel"]) -> float:
    zeros = [kernel.weight.numpy().ravel() == 0 for kernel in found]
    return float(np.concatenate(zeros).mean())


def _names(found: list["Kernel"]) -> str:
    return ", ".join(repr(kernel.layer) for kernel in found[:SHOWN]) + (", …" if len(found) > SHOWN else "")


def _shares(by_layer: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.3f}" for name, share in by_layer.items())


def _warn_of_dead_outputs(found: list["Kernel"]) -> None:
    """Channels without a weight still cost their share of the time, and their int8 scale means nothing."""
    for kernel in found:
        values = kernel.weight.numpy()
        if kernel.inputs not in (0, -2) or values.ndim < 2:
            continue
        alive = values.reshape(-1, values.shape[-1]).any(axis=0)
        if not alive.all():
            log.warning(
                "prune: %s: %d of %d outputs have no weight left: give it less by `layers`, or remove them by slim",
                kernel.layer,
                int((~alive).sum()),
                alive.size,
            )


METHOD = CompressionMethod(schema=Prune, apply=apply)
