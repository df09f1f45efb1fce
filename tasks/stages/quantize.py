"""Stage `quantize`: make a model into a variant, a file that can be deployed."""

from tasks import paths
from tasks.params import Params
from tasks.quantize.variant import make


def quantize(params: Params, variant: str) -> None:
    """Convert the model of `params.quantize[variant]` at its scheme; write `out/artifacts/<variant>/`.

    Raises:
        ConversionError, ModelError: the model cannot be converted, or trained, as the entry asks.
    """
    make(paths.artifact(variant), variant, params.quantize[variant], paths.model, params.metric)
