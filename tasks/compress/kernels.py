"""The weights of a model that sparsity, shared values and factors are about, found by the layers' names."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError, suggest

if TYPE_CHECKING:
    import tf_keras

# The weights of Keras's own layers, each with the axis that counts the inputs of its product (None: there is none).
# Depthwise kernels and normalizations are left out on purpose: they are small, and lose much for little.
WEIGHTS: dict[str, dict[str, int | None]] = {
    "Dense": {"kernel": 0},
    "Conv1D": {"kernel": -2},
    "Conv2D": {"kernel": -2},
    "Conv3D": {"kernel": -2},
    "Conv1DTranspose": {"kernel": -1},
    "Conv2DTranspose": {"kernel": -1},
    "Conv3DTranspose": {"kernel": -1},
    "SeparableConv1D": {"pointwise_kernel": -2},
    "SeparableConv2D": {"pointwise_kernel": -2},
    "Embedding": {"embeddings": None},
    "EinsumDense": {"kernel": None},
    "SimpleRNN": {"cell.kernel": 0, "cell.recurrent_kernel": 0},
    "LSTM": {"cell.kernel": 0, "cell.recurrent_kernel": 0},
    "GRU": {"cell.kernel": 0, "cell.recurrent_kernel": 0},
    "MultiHeadAttention": {
        "_query_dense.kernel": 0,
        "_key_dense.kernel": 0,
        "_value_dense.kernel": 0,
        "_output_dense.kernel": 1,
    },
}
DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
PRUNABLE = "get_prunable_weights"  # the methods by which a custom layer says what may be done, as TFMOT has them
CLUSTERABLE = "get_clusterable_weights"
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Kernel:
    """One weight, and where it stands."""

    layer: str  # as `walk` names it
    weight: Any  # a tf.Variable
    inputs: int | None  # the axis that counts the inputs of its product; None: unknown, or there is none

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return int(self.weight.shape.num_elements())


def copy(model: "tf_keras.Model") -> "tf_keras.Model":
    """The same architecture and weights in layers of its own, so that the model itself stays as it is.

    Raises:
        ModelError: it is a subclassed model, which has no graph to read.
    """
    import tf_keras as keras

    if not isinstance(model, keras.Sequential) and not model._is_graph_network:  # there is no public way to ask
        raise ModelError(
            f"model {model.name!r} ({type(model).__name__}) is subclassed, so its layers cannot be read; "
            "only Sequential and Functional models can be compressed"
        )
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    return twin


def whole(model: "tf_keras.Model", prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each layer with its name, no name twice: a nested model's is `model/layer`; wrappers with what they wrap."""
    import tf_keras as keras

    for layer in model.layers:
        name = prefix + layer.name
        if isinstance(layer, keras.Model):
            yield from whole(layer, f"{name}/")
        else:
            yield name, layer


def walk(model: "tf_keras.Model") -> Iterator[tuple[str, Any]]:
    """As `whole`, but those within a wrapper in its place, by its name: two of one name where it reads both ways."""
    import tf_keras as keras

    for name, layer in whole(model):
        if isinstance(layer, keras.layers.Bidirectional):
            yield from ((name, inner) for inner in (layer.forward_layer, layer.backward_layer))
        elif isinstance(layer, keras.layers.TimeDistributed) and not isinstance(layer.layer, keras.Model):
            yield name, layer.layer
        else:
            yield name, layer


def every(model: "tf_keras.Model", declared: str) -> list[Kernel]:
    """The weights of `model` that can be pruned or clustered, in the layers' order, each once; maybe none.

    Args:
        model: Sequential or Functional.
        declared: PRUNABLE or CLUSTERABLE, the method by which a custom layer names its own.
    """
    found: dict[int, Kernel] = {}
    for name, layer in walk(model):
        for weight, inputs in _weights(layer, declared):
            found.setdefault(id(weight), Kernel(name, weight, inputs))
    return list(found.values())


def find(model: "tf_keras.Model", declared: str) -> list[Kernel]:
    """As `every`, with a warning of the layers that are passed over.

    Raises:
        ModelError: there is none.
    """
    found = every(model, declared)
    named = {kernel.layer for kernel in found}
    left = [
        f"{name} ({type(layer).__name__})"
        for name, layer in walk(model)
        if name not in named
        and type(layer).__name__ not in DEPTHWISE
        and any(len(weight.shape) > 1 for weight in layer.weights)
        and not any(_weights(layer, declared))
    ]
    if left:
        log.warning("left as they are, as they do not say by %s what may be compressed: %s", declared, left)
    if not found:
        raise ModelError(f"model {model.name!r} has no layer whose weights could be compressed")
    return found


def check_names(asked: Iterable[str], allowed: Iterable[str], model: "tf_keras.Model", method: str) -> None:
    """Refuse a name in a method's `layers` that is not among those allowed.

    Raises:
        ModelError: no such layer, or nothing can be done to it; the message has a near match.
    """
    known = list(dict.fromkeys(allowed))
    kinds = {name: type(layer).__name__ for name, layer in walk(model)}
    for name in asked:
        if name in known:
            continue
        fault = f"is a {kinds[name]}, to which it does nothing" if name in kinds else "is no layer of the model"
        raise ModelError(f"{method}: layers: {name!r} {fault}; {suggest(name, known)}")


def compiled(step: Callable[[], None]) -> Any:
    """`step` as one graph, run once now, so that the first batch need not wait until it is traced."""
    import tensorflow as tf

    graph = tf.function(step)
    graph._omit_frequent_tracing_warning = True  # as Keras does: each model has a graph of its own
    graph()
    return graph


def after_batch(step: Callable[[], None], kept: Iterable[Any] = ()) -> Any:
    """A Keras callback that calls `step` after each batch of the training, and so before every validation.

    Args:
        step: takes nothing.
        kept: the variables that it changes beside the model's, which a checkpoint has to hold.
    """
    import tf_keras as keras

    class AfterBatch(keras.callbacks.Callback):  # type: ignore[misc]  # tf_keras ships no types
        _supports_tf_logs = True  # or Keras copies the metrics to the host after every batch
        variables = tuple(kept)

        def on_train_batch_end(self, _batch: int, _logs: Any = None) -> None:
            step()

    return AfterBatch()


def _weights(layer: Any, declared: str) -> Iterator[tuple[Any, int | None]]:
    import tf_keras as keras

    if hasattr(layer, declared):
        for entry in getattr(layer, declared)():
            weight = entry[1] if isinstance(entry, tuple) else entry  # TFMOT's clusterable ones come with a name
            yield weight, -2 if len(weight.shape) > 1 else None
    elif type(layer) is getattr(keras.layers, type(layer).__name__, None):
        for path, inputs in WEIGHTS.get(type(layer).__name__, {}).items():
            yield attrgetter(path)(layer), inputs
