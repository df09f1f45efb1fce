"""Which layers lose most by being quantized: what `tercet sensitivity` tells of a variant that has no table yet."""

from tasks import paths
from tasks.errors import ParamsError
from tasks.examples import dataset
from tasks.formats.schemes import SCHEMES
from tasks.params import Params
from tasks.quality.score import Exam
from tasks.quantize import mixed
from tasks.records import Sensitivity
from tasks.training import fit, keras_files


def by_layer(params: Params, variant: str) -> tuple[Sensitivity, ...]:
    """What each layer of a variant's model loses where it alone is at the variant's scheme, the most sensitive first.

    Raises:
        ParamsError: the scheme quantizes no layer by itself.
        ConversionError, ModelError: the model cannot be read or converted.
    """
    entry = params.quantize[variant]
    if not SCHEMES.load(entry.scheme).layered:
        schemes = ", ".join(name for name in SCHEMES if SCHEMES.load(name).layered)
        raise ParamsError(f"sensitivity of {variant}: scheme {entry.scheme!r} quantizes no layers; {schemes} do")
    fit.reset(entry.seed)
    model, _ = keras_files.load_from(paths.model(entry.model))
    exam = Exam(dataset.load("validation"), params.metric)
    return mixed.sensitivity(mixed.job(model, entry, dataset.load("calibration").arrays()), exam)
