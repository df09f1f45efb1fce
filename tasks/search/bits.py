"""Which layers can have 4-bit weights, and what that is known to cost before any trial."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tasks import paths
from tasks.errors import ConversionError, ParamsError
from tasks.examples import dataset
from tasks.formats.schemes import SCHEMES, taking
from tasks.params import BASELINE, Quantize, Search
from tasks.quality.score import Exam
from tasks.quantize import layers, mixed
from tasks.records import Record
from tasks.search.qubo import Variable
from tasks.training import fit, keras_files


class Layer(Record):
    """A layer of the baseline."""

    parameters: int  # of its largest weight, which is what the bits are of
    drop: float  # how much worse validation quality is where it alone has 4 bits and all else is float32


def table(search: Search, metric: str) -> dict[str, Layer]:
    """The baseline's layers that can have 4 bits at the first scheme of the search that lets layers differ.

    Raises:
        ParamsError: there is no such scheme, or no such layer.
    """
    scheme = next((each for each in search.schemes if "bits" in SCHEMES.load(each).takes), None)
    if scheme is None:
        raise ParamsError(
            f"search.bits: received schemes {list(search.schemes)}; one of {', '.join(taking('bits'))} is needed"
        )
    fit.reset(search.seed)
    model, card = keras_files.load_from(paths.model(BASELINE))
    job = mixed.job(model, Quantize(model=BASELINE, scheme=scheme), dataset.load("calibration").arrays())
    names = [name for name in layers.owners(job.operators, weighted=True) if _fits(job, name)]
    if not names:
        raise ParamsError(f"search.bits: no layer of {BASELINE} can have 4 bits at scheme {scheme}; leave `bits` out")
    found = mixed.sensitivity(replace(job, bits=dict.fromkeys(names, 4)), Exam(dataset.load("validation"), metric))
    drops = {each.layer: each.quality_drop for each in found}
    parameters = {layer.name: layer.parameters for layer in card.layers}
    return {name: Layer(parameters=parameters[name], drop=drops[name]) for name in names}


def _fits(job: mixed.Job, name: str) -> bool:
    """Whether the layer keeps 4 bits: not every operator has a kernel for them."""
    try:
        mixed.build(replace(job, bits={name: 4}))
    except ConversionError:
        return False
    return True


def prior(of: str, known: Mapping[str, Layer], bits: Sequence[int]) -> dict[Variable, float]:
    """What each choice of bits is expected to cost: exactly so many bytes, and of quality what it costs alone."""
    if of not in ("bytes", "gzip_bytes", "quality"):
        return {}
    return {
        (f"bits.{name}", i): layer.parameters * width / 8 if of != "quality" else layer.drop * (width == 4)
        for name, layer in known.items()
        for i, width in enumerate(bits)
    }
