"""Quantization-aware training, by TFMOT; it keeps the parent's zeros and clusters (PQAT, CQAT, PCQAT).

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2017).
"""

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from tasks.errors import ConversionError, ModelError
from tasks.examples import first
from tasks.params import Training
from tasks.quality import heads
from tasks.quantize import litert
from tasks.training import fit

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Arrays, Examples
    from tasks.params import Quantize
    from tasks.records import ModelCard

CALIBRATION = 8  # examples: ranges change no operator


def apply(
    model: "tf_keras.Model", card: "ModelCard", params: "Quantize", train: "Examples", validation: "Examples"
) -> "tf_keras.Model":
    """Insert fake quantization into `model` and train it for `params.aware_epochs`.

    TFMOT first folds what belongs together, as batch normalization into the convolution before it, and only then looks
    for layers that it has no rule for. Models within the model, layers that prepare images and embeddings, which stay
    as they are, are left to calibration. A model with transposed convolutions is converted once before it is trained.

    Returns:
        A model whose outputs are called as the given one's.

    Raises:
        ModelError: the model has a layer that TFMOT cannot quantize, which the message names, or does not become
            integers as TFMOT rounds it.
    """
    import tensorflow_model_optimization as tfmot
    import tf_keras as keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope  # which only `load_model` offers to the public

    if refused := [f"{layer.name} ({type(layer).__name__})" for layer in model.layers if not _is_known(layer)]:
        raise _error(card, f"TFMOT cannot quantize {', '.join(refused)}")
    _pass_names(model)
    try:
        with SafeModeScope(safe_mode=False):  # it makes Lambda layers of a SeparableConv1D, and reads them again
            aware = tfmot.quantization.keras.quantize_apply(_annotated(model), *_scheme(card))
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise _error(card, _reason(str(error))) from None
    if transposed := [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2DTranspose)]:
        _check_integers(aware, card, params.scheme, first(train, CALIBRATION), transposed)
    training = Training(
        epochs=params.aware_epochs,
        batch_size=params.batch_size,
        learning_rate=params.aware_learning_rate,
        seed=params.seed,
        # or a rare class would count less again, and rounding be blamed for what it loses
        class_weights=card.class_weights,
    )
    learned = heads.find(model, train.targets)  # before the outputs are called otherwise
    fit.fit(aware, train, validation, training, label="quantize aware", heads=learned)
    if "clusters" in card.preserves:
        aware = tfmot.experimental.combine.strip_clustering_cqat(aware)
    aware.output_names = list(model.output_names)  # TFMOT calls them after its wrappers
    return aware


def _check_integers(
    aware: "tf_keras.Model", card: "ModelCard", scheme: str, few: "Arrays", transposed: list[str]
) -> None:
    """Refuse now what the converter would refuse after the training.

    It leaves floats between the input and a transposed convolution that reads it, but not with every activation and
    not behind another layer: so it is tried.
    """
    try:
        litert.convert(aware, scheme, few)
    except ConversionError as error:
        said = str(error).partition(", so ")[0]  # what comes then is of variants that may leave layers out
        raise _error(card, f"with TFMOT's rounding {', '.join(transposed)} does not become integers ({said})") from None


def _annotated(model: "tf_keras.Model") -> "tf_keras.Model":
    """The model with a mark on every layer that is to be quantized."""
    import tensorflow_model_optimization as tfmot
    import tf_keras as keras

    def annotate(layer: Any) -> Any:
        if isinstance(layer, keras.layers.Embedding):
            layer.trainable = False  # nothing there would keep its zeros and clusters
        return layer if _is_left_out(layer) else tfmot.quantization.keras.quantize_annotate_layer(layer)

    return keras.models.clone_model(model, clone_function=annotate)


def _is_left_out(layer: Any) -> bool:
    """Whether a layer is none to train aware: an input, an embedding, a model within, or one that prepares images."""
    import tf_keras as keras

    apart = keras.layers.InputLayer | keras.layers.Embedding | keras.Model | keras.layers.Lambda
    return isinstance(layer, apart) or ".preprocessing." in type(layer).__module__


def _is_known(layer: Any) -> bool:
    """Whether TFMOT's 8-bit scheme may have a rule for a layer: its own, or one that folds it into its neighbour."""
    import tf_keras as keras
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_quantize_registry

    folded = keras.layers.BatchNormalization | keras.layers.SeparableConv1D | keras.layers.SeparableConv2D
    registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
    return _is_left_out(layer) or isinstance(layer, folded) or bool(registry.supports(layer))


def _pass_names(model: "tf_keras.Model") -> None:
    """Let the names that Keras gives to new layers go on behind the model's.

    TFMOT makes two layers of a separable convolution, of whatever name comes next, and takes one of the same name for
    its own: a model that was read from a file has them from the first one on.
    """
    import tf_keras as keras

    for prefix, make in (
        ("conv2d", partial(keras.layers.Conv2D, 1, 1)),
        ("depthwise_conv2d", partial(keras.layers.DepthwiseConv2D, 1)),
    ):
        numbers = [re.fullmatch(rf"{prefix}(?:_(\d{{1,6}}))?", layer.name) for layer in model.layers]
        for _ in range(max((int(number[1] or 0) + 1 for number in numbers if number), default=0)):
            make()


def _error(card: "ModelCard", reason: str) -> ModelError:
    """What to do where TFMOT does not take a model."""
    return ModelError(
        f"quantization-aware training of {card.model!r}: {reason}; set aware_epochs: 0, which converts with "
        "calibration alone (and may exclude layers), or build the model without it"
    )


def _reason(said: str) -> str:
    """What TFMOT complains of, by the layer's name where it tells one."""
    if layer := re.search(r"Layer (.+?):<class '(?:\w+\.)*(\w+)'> is not supported", said):
        return f"TFMOT cannot quantize {layer[1]} ({layer[2]})"
    return f"TFMOT refuses the model: {' '.join(said.split())[:200]}"


def _scheme(card: "ModelCard") -> tuple[Any, ...]:
    import tensorflow_model_optimization as tfmot

    combine = tfmot.experimental.combine
    if "clusters" in card.preserves:
        return (combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity="sparsity" in card.preserves),)
    if "sparsity" in card.preserves:
        return (combine.Default8BitPrunePreserveQuantizeScheme(),)
    return ()
