"""Keras models on disk: `model.h5`, which is the same bytes for the same weights, and its card."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import paths
from tasks.errors import ModelError
from tasks.records import Layer, ModelCard, read
from tasks.training import custom

if TYPE_CHECKING:
    import tf_keras

USES = ("h5py",)  # what tf_keras writes them by
FILE = "model.h5"
LITERT = "model.tflite"  # in its place: a file of one's own, which has no layers any more


def save(model: "tf_keras.Model", folder: Path) -> None:
    """Write the architecture and the weights of `model`, without its optimizer, to `folder`."""
    with warnings.catch_warnings():
        # .keras archives carry the time of day, so two equal runs would differ; HDF5 files do not
        warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file", category=UserWarning)
        model.save(folder / FILE, include_optimizer=False)


def load(name: str) -> tuple["tf_keras.Model", ModelCard]:
    """Read the model `name` and its card; see `load_from`."""
    return load_from(paths.model(name))


def load_from(folder: Path) -> tuple["tf_keras.Model", ModelCard]:
    """Read the model in `folder` and its card.

    Raises:
        ModelError: there is no such model, the file is damaged, or it is a LiteRT file.
    """
    import tf_keras as keras

    from tasks.training import attention, layers  # noqa: F401  # registered, for the models that have them

    path = folder / FILE
    card = read(ModelCard, folder / "card.json")
    if (folder / LITERT).exists():
        raise ModelError(
            f"model {card.model!r} is a LiteRT file, which can be neither trained nor converted; it goes as it is into "
            "a variant (scheme as-is), to be evaluated and measured"
        )
    if card.code:
        custom.register(card.code.module)
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True), card
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as a Keras model: {error}") from None


def layers(model: "tf_keras.Model") -> tuple[Layer, ...]:
    """What stands in the kernel (the largest weight) of each layer that has one."""
    weighted = [layer for layer in model.layers if layer.weights]
    return tuple(_layer(layer.name, max(layer.get_weights(), key=lambda weight: weight.size)) for layer in weighted)


def _layer(name: str, kernel: Any) -> Layer:
    zeros = int(kernel.size - np.count_nonzero(kernel))
    return Layer(
        name=name, parameters=kernel.size, sparsity=zeros / kernel.size, unique_values=int(np.unique(kernel).size)
    )
