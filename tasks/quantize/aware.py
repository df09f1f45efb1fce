"""Quantization-aware training, by TFMOT; it keeps the parent's zeros and clusters (PQAT, CQAT, PCQAT).

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2017).
"""

from typing import TYPE_CHECKING, Any

from tasks import fit, heads
from tasks.errors import ModelError
from tasks.params import Training

if TYPE_CHECKING:
    import tf_keras

    from tasks.dataset import Examples
    from tasks.params import Quantize
    from tasks.records import ModelCard


def apply(
    model: "tf_keras.Model", card: "ModelCard", params: "Quantize", train: "Examples", validation: "Examples"
) -> "tf_keras.Model":
    """Insert fake quantization into `model` and train it for `params.aware_epochs`.

    Raises:
        ModelError: the model has a layer that TFMOT cannot quantize; the message names it.
    """
    import tensorflow_model_optimization as tfmot

    if refused := _refused(model):
        raise ModelError(
            f"quantization-aware training of {card.model!r}: TFMOT cannot quantize {', '.join(refused)}; "
            "set aware_epochs: 0, which converts with calibration alone"
        )
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    aware = tfmot.quantization.keras.quantize_apply(annotated, *_scheme(card))
    training = Training(
        epochs=params.aware_epochs,
        batch_size=params.batch_size,
        learning_rate=params.aware_learning_rate,
        seed=params.seed,
    )
    learned = heads.find(model, train.targets)  # before the outputs are called otherwise
    fit.fit(aware, train, validation, training, label="quantize aware", heads=learned)
    if "clusters" in card.preserves:
        aware = tfmot.experimental.combine.strip_clustering_cqat(aware)
    return aware


def _refused(model: "tf_keras.Model") -> list[str]:
    """The layers that TFMOT's 8-bit scheme has no rule for, with their types."""
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import default_8bit_quantize_registry

    registry = default_8bit_quantize_registry.Default8BitQuantizeRegistry()
    names = {layer: f"{layer.name} ({type(layer).__name__})" for layer in model.layers}
    return [
        name
        for layer, name in names.items()
        if layer.__class__.__name__ != "InputLayer" and not registry.supports(layer)
    ]


def _scheme(card: "ModelCard") -> tuple[Any, ...]:
    import tensorflow_model_optimization as tfmot

    combine = tfmot.experimental.combine
    if "clusters" in card.preserves:
        return (combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity="sparsity" in card.preserves),)
    if "sparsity" in card.preserves:
        return (combine.Default8BitPrunePreserveQuantizeScheme(),)
    return ()
