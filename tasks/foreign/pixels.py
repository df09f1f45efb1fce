"""Models of one's own that scale pixels themselves, and so must be given them as they are, from 0 to 255."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.examples.dataset import Pixels

if TYPE_CHECKING:
    import tf_keras

BRIGHT = 16.0  # pixels are larger, and numbers that were scaled before are not
UNCHANGED = ("Resizing", "CenterCrop", "ZeroPadding2D", "Cropping2D", "Reshape", "Identity", "Permute", "GaussianNoise")
OPERATIONS = ("cast", "identity", "image.resize", "__operators__.getitem")  # likewise, as functions of TensorFlow


def scaled_by(model: "tf_keras.Model", tensor: Any) -> bool:
    """Whether the first thing that the model does with one of its inputs is to scale pixels, or to take bytes.

    Args:
        model: Sequential or Functional, without models in it.
        tensor: the input.
    """
    if not tensor.dtype.is_floating:
        return True
    waiting, seen = [tensor], set[int]()
    while waiting:
        current = waiting.pop()
        for node in _readers(model, current):
            if _scales(node, current):
                return True
            output = node.outputs
            if _passes(node.layer) and id(output) not in seen:
                seen.add(id(output))
                waiting.append(output)
    return False


def restored(tensor: Any, pixels: Pixels, name: str) -> Any:
    """The pixels that `prepare` has made a tensor's numbers of, by a layer of that name."""
    import tf_keras as keras

    scale, mean = (values[0] if len(set(values)) == 1 else list(values) for values in (pixels.scale, pixels.mean))
    return keras.layers.Rescaling(scale, mean, name=name)(tensor)


def _readers(model: "tf_keras.Model", tensor: Any) -> list[Any]:
    nodes = [node for nodes in model._nodes_by_depth.values() for node in nodes if not node.is_input]
    return [node for node in nodes if any(given is tensor for given in node.keras_inputs)]


def _passes(layer: Any) -> bool:
    name = type(layer).__name__
    if name in ("TFOpLambda", "SlicingOpLambda"):
        return layer.get_config()["function"] in OPERATIONS
    return name in UNCHANGED or name.startswith("Random")


def _scales(node: Any, tensor: Any) -> bool:
    match type(node.layer).__name__:
        case "Rescaling":
            return _most(1 / np.asarray(node.layer.scale, np.float64)) >= BRIGHT
        case "Normalization":
            return max(_most(node.layer.mean), _most(np.sqrt(node.layer.variance))) >= BRIGHT
        case "BatchNormalization":
            return max(_most(node.layer.moving_mean), _most(np.sqrt(node.layer.moving_variance))) >= BRIGHT
        case "TFOpLambda":
            return _operation(node, tensor)
    return False


def _operation(node: Any, tensor: Any) -> bool:
    """`x / 255`, `x * (1 / 255)`, `x - 127.5`, and `preprocess_input`, which is made of such."""
    import tensorflow as tf

    given = tf.nest.flatten((node.call_args, node.call_kwargs))
    constants = [np.asarray(v, np.float64) for v in given if v is not tensor and isinstance(v, int | float | tf.Tensor)]
    if len(constants) != 1 or not constants[0].size:
        return False
    match node.layer.get_config()["function"]:
        case "math.truediv" | "math.divide" | "math.subtract" | "nn.bias_add" | "__operators__.add" | "math.add":
            return _most(constants[0]) >= BRIGHT
        case "math.multiply":
            return 0 < _most(constants[0]) <= 1 / BRIGHT
    return False


def _most(values: Any) -> float:
    return float(np.abs(np.asarray(values, np.float64)).max())
