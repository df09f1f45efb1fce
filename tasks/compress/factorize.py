"""Low-rank factors instead of a kernel: fewer multiplications and weights, by any runtime's usual kernels.

Dense layers and 1x1 convolutions become two by the singular value decomposition, whose cut is the nearest of its rank
(Eckart and Young, 1936); k x k convolutions become three by Tucker-2 over their channels (Kim et al., "Compression of
Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications", 2015).
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.compress import kernels, masks
from tasks.compress.masks import Values
from tasks.errors import ModelError
from tasks.members import CompressionMethod
from tasks.params.compress import Factorize
from tasks.training import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples

log = logging.getLogger(__name__)
Ranks = tuple[int, ...]  # one of a matrix; that of the input channels and that of the output channels of a k x k


@dataclass(frozen=True)
class Cost:
    """What one example asks of a layer."""

    macs: int
    parameters: int

    def below(self, other: "Cost") -> bool:
        """Whether both are less."""
        return self.macs < other.macs and self.parameters < other.parameters


def apply(
    model: "tf_keras.Model", params: Factorize, train: "Examples", validation: "Examples", on_epoch: fit.OnEpoch
) -> tuple["tf_keras.Model", fit.History]:
    """Factorize each layer where that lowers both its multiplications and its weights; then fine-tune.

    The last factor has the layer's name, bias and activation, the others are `<name>_in` and `<name>_core`. Zeros
    of the layers that stay as they are are held.

    Returns:
        A new model, and the history of the fine-tuning, empty for 0 epochs.

    Raises:
        ModelError: no layer gains, or one that `layers` names cannot be factorized or does not gain at its rank.
    """
    twin = kernels.copy(model)
    candidates = {name: layer for name, layer in kernels.whole(twin) if _matrix(layer) or _convolution(layer)}
    kernels.check_names(params.layers, candidates, twin, "factorize")
    ranks = {}
    for name, layer in candidates.items():
        wanted = params.layers.get(name)
        if params.layers and wanted is None:
            continue
        found = ranks_by_energy(layer.kernel.numpy(), params.energy) if wanted is None else _ranks(name, layer, wanted)
        if _cost(layer, found).below(_cost(layer, None)):
            ranks[name] = found
        elif wanted is not None:
            raise ModelError(f"factorize: layers: {name!r} at rank {wanted} takes no less than as it is; lower it")
    if not ranks:
        raise ModelError(
            f"factorize: no layer of {model.name!r} takes less as factors that keep {params.energy} of the energy; "
            "lower `energy`, or use slim"
        )
    log.info("factorize: ranks %s", ", ".join(f"{name} {found}" for name, found in ranks.items()))
    result = rebuild(twin, ranks)
    history: fit.History = {}
    if params.epochs:
        kept = {name for name, _ in kernels.walk(twin)} - set(ranks)
        held = masks.Hold(masks.zeros(k for k in kernels.find(result, kernels.PRUNABLE) if k.layer in kept))
        history = fit.fit(
            result, train, validation, params, label="factorize", callbacks=[held.callback], on_epoch=on_epoch
        )
    return result, history


def factors(kernel: Values, ranks: Ranks) -> list[Values]:
    """The kernels that stand for one, in the order of the layers.

    Args:
        kernel: [inputs, outputs], or [height, width, inputs, outputs].
        ranks: of a matrix or a 1x1 convolution its rank r, for [..., inputs, r] and [..., r, outputs]; of other
            convolutions those of inputs and outputs, for 1x1, height x width and 1x1 kernels.
    """
    if len(ranks) == 1:
        u, s, v = np.linalg.svd(kernel.reshape(kernel.shape[-2:]).astype(np.float64), full_matrices=False)
        root = np.sqrt(s[: ranks[0]])  # to either side, so that both are of a size
        parts = [u[:, : ranks[0]] * root, root[:, None] * v[: ranks[0]]]
    else:
        first, last = _mode(kernel, 2)[0][:, : ranks[0]], _mode(kernel, 3)[0][:, : ranks[1]]
        core = np.einsum("hwio,ir,os->hwrs", kernel.astype(np.float64), first, last)
        parts = [first, core, last.T]
    ones = (1,) * (kernel.ndim - 2)
    return [part.reshape(ones + part.shape if part.ndim == 2 else part.shape).astype(kernel.dtype) for part in parts]


def ranks_by_energy(kernel: Values, energy: float) -> Ranks:
    """The least ranks that keep at least `energy` of the sum of the kernel's squares.

    Each of the two modes of a k x k convolution may lose half of what is lost: their losses add up at most (De
    Lathauwer et al., "A multilinear singular value decomposition", 2000).
    """
    if math.prod(kernel.shape[:-2]) == 1:
        return (_least(np.linalg.svd(kernel.reshape(kernel.shape[-2:]), compute_uv=False), energy),)
    return tuple(_least(_mode(kernel, axis)[1], (1 + energy) / 2) for axis in (2, 3))


def rebuild(model: "tf_keras.Model", ranks: Mapping[str, Ranks]) -> "tf_keras.Model":
    """The model with factors of these ranks in the place of the layers named, as `kernels.whole` names them.

    It is made from the model's configuration, so shared layers, several inputs and outputs, and nested models stay.
    """
    layers = dict(kernels.whole(model))
    names = _names(ranks, {name.rpartition("/")[2] for name in layers})
    chains = {name: _configs(layers[name], ranks[name], names[name]) for name in ranks}
    custom = {type(layer).__name__: type(layer) for _, layer in kernels.walk(model)}
    result = type(model).from_config(_rewritten(model.get_config(), chains, ""), custom_objects=custom)
    made = dict(kernels.whole(result))
    for name, layer in layers.items():
        if name not in ranks:
            made[name].set_weights(layer.get_weights())
            continue
        folder = name[: -len(layer.name)]
        kernel, *bias = layer.get_weights()
        *before, last = factors(kernel, ranks[name])
        for part, new in zip(before, names[name], strict=False):
            made[folder + new].set_weights([part])
        made[name].set_weights([last, *bias])
    return result


def _names(ranks: Mapping[str, Ranks], taken: set[str]) -> dict[str, list[str]]:
    """What the factors of each layer are called: the last one as the layer is, the others as nothing else is."""
    names = {}
    for path, found in ranks.items():
        own = path.rpartition("/")[2]
        new = [f"{own}_in"] if len(found) == 1 else [f"{own}_in", f"{own}_core"]
        names[path] = [next(n for n in (name + "_" * i for i in count()) if n not in taken) for name in new] + [own]
        taken = taken | set(names[path])
    return names


def _matrix(layer: Any) -> bool:
    import tf_keras as keras

    return type(layer) is keras.layers.Dense or (_convolution(layer) and layer.kernel_size == (1, 1))


def _convolution(layer: Any) -> bool:
    import tf_keras as keras

    return type(layer) is keras.layers.Conv2D and layer.groups == 1


def _ranks(name: str, layer: Any, wanted: int) -> Ranks:
    inputs, outputs = layer.kernel.shape[-2:]
    most = min(inputs, outputs) if _matrix(layer) else max(inputs, outputs)
    if wanted > most:
        raise ModelError(f"factorize: layers: {name!r}: received rank {wanted}; its kernel has at most {most}")
    return (wanted,) if _matrix(layer) else (min(wanted, inputs), min(wanted, outputs))


def _least(singular: Values, energy: float) -> int:
    share = np.cumsum(np.square(singular, dtype=np.float64))
    return int(np.searchsorted(share, energy * share[-1])) + 1


def _mode(kernel: Values, axis: int) -> tuple[Values, Values]:
    """Left singular vectors and singular values of the kernel unfolded along an axis."""
    unfolded = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1).astype(np.float64)
    u, s, _ = np.linalg.svd(unfolded, full_matrices=False)
    return u, s


def _cost(layer: Any, ranks: Ranks | None) -> Cost:
    """Of the layer as it is, or as factors. Only ratios within one layer matter: positions are counted in outputs."""
    inputs, outputs = layer.kernel.shape[-2:]
    if ranks is None:
        size = int(layer.kernel.shape.num_elements())
        return Cost(size * _positions(layer)[1], size)
    if len(ranks) == 1:
        size = ranks[0] * (inputs + outputs)
        return Cost(size * _positions(layer)[1], size)
    before, after = _positions(layer)
    parts = inputs * ranks[0], math.prod(layer.kernel_size) * ranks[0] * ranks[1], ranks[1] * outputs
    return Cost(before * parts[0] + after * (parts[1] + parts[2]), sum(parts))


def _positions(layer: Any) -> tuple[int, int]:
    """How many positions a convolution reads and writes; where the size is free, as many as its strides say."""
    if not _convolution(layer):
        return 1, 1
    axes = slice(2, 4) if layer.data_format == "channels_first" else slice(1, 3)
    read, written = layer.get_input_shape_at(0)[axes], layer.get_output_shape_at(0)[axes]
    if None in (*read, *written):
        return math.prod(layer.strides), 1
    return math.prod(read), math.prod(written)


def _configs(layer: Any, ranks: Ranks, names: list[str]) -> list[dict[str, Any]]:
    """The configurations of the factors. Strides go first where the kernel is 1x1, else with the core."""
    import tf_keras as keras

    whole = layer.get_config()
    size = "units" if isinstance(layer, keras.layers.Dense) else "filters"
    bare = {**whole, "use_bias": False, "activation": "linear", "activity_regularizer": None}
    plain = {} if size == "units" else {"kernel_size": (1, 1), "strides": (1, 1), "dilation_rate": (1, 1)}
    last = {key: value for key, value in whole.items() if key != "batch_input_shape"} | plain
    first = {**bare, "name": names[0], size: ranks[0]}
    if len(ranks) == 1:
        return [first, last]
    core = {**bare, "name": names[1], size: ranks[1]}
    core.pop("batch_input_shape", None)
    return [first | plain, core, last]


def _rewritten(config: dict[str, Any], parts: Mapping[str, list[dict[str, Any]]], prefix: str) -> dict[str, Any]:
    """A model's configuration with chains of layers for the layers named."""
    layers: list[dict[str, Any]] = []
    for entry in config["layers"]:
        name = prefix + entry["config"]["name"]
        if name in parts:
            layers += _chain(entry, parts[name])
        elif "layers" in entry["config"]:  # a model in the model
            layers.append({**entry, "config": _rewritten(entry["config"], parts, f"{name}/")})
        else:
            layers.append(entry)
    return {**config, "layers": layers}


def _chain(entry: dict[str, Any], configs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Layers one behind the other: each call of the whole layer becomes a call of each."""
    chain = []
    calls = entry.get("inbound_nodes")  # Sequential has none
    for config in configs:
        link = {**entry, "config": config}
        if calls is not None:
            link |= {"name": config["name"], "inbound_nodes": calls}
            calls = [[[config["name"], i, 0, {}]] for i in range(len(calls))]
        link.pop("build_config", None)  # of the whole layer's shapes
        chain.append(link)
    return chain


METHOD = CompressionMethod(schema=Factorize, apply=apply, reshapes=True, renames=True)
