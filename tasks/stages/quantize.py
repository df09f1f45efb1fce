"""Stage `quantize`: make a model into a variant, a file that can be deployed."""

from contextlib import nullcontext

from tasks import paths
from tasks.params import Params
from tasks.quantize.variant import make
from tasks.training import checkpoint


def quantize(params: Params, variant: str) -> None:
    """Convert the model of `params.quantize[variant]` at its scheme; write `out/artifacts/<variant>/`.

    Quantization-aware training that was killed goes on after its last finished epoch, as `train` says.

    Raises:
        ConversionError, ModelError: the model cannot be converted, or trained, as the entry asks.
    """
    entry = params.quantize[variant]
    given = (entry.model_dump_json(), paths.model(entry.model))
    with checkpoint.kept(f"quantize.{variant}", *given) if entry.aware_epochs else nullcontext():
        make(paths.artifact(variant), variant, entry, paths.model, params.metric)
