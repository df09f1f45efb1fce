"""The numeric schemes: one object says all of each, to who converts to it, runs it or searches it."""

from dataclasses import dataclass
from typing import Literal

from tasks.registry import Registry

Precision = Literal["float32", "float16", "int8"]
INTEGERS = ("ranges",)  # keys of `quantize` that schemes of integers share
CACHES = ("prefill", "room", "cache", "verify")  # of those that a decoder with its caches is made at
LAYERS = ("exclude", "max_quality_drop", "bits")
WEIGHTS = (*LAYERS, *CACHES)


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """What a variant's numbers are, and what hangs from that.

    `converts` names a function `(model, entry, calibration, validation) -> Made`: a Keras model, the variant's entry of
    `quantize`, and examples, those of validation where `max_quality_drop` is asked for. It raises ConversionError, and
    ParamsError for a key of the entry.
    """

    weights: int | None  # bits of each; None: whatever the file has
    activations: Literal["float32", "dynamic", "int8", "int16"]  # dynamic: float32 outside of products, int8 within
    apart: float  # how far two runtimes may lie apart, see `bench.agreement`
    converts: str | None  # "module:function"; None: a file is taken as it is
    takes: tuple[str, ...] = ()  # the keys of `quantize` that mean something at it
    layered: bool = False  # ai-edge-quantizer makes it, layer by layer, so layers may differ
    precisions: tuple[Precision, ...] = ()  # that its products may be computed in, the best first; none: not known
    unit: float | None = None  # of floats: a unit in the last place of a weight, relative to it
    stablehlo: Literal["float32", "float16"] | None = None  # what its StableHLO computes in; None: it has none
    reference: bool = False  # the others may be compared with it

    @property
    def static(self) -> bool:
        """Whether its activations have ranges of their own, which calibration finds."""
        return self.activations in ("int8", "int16")

    @property
    def halves(self) -> bool:
        """Whether hardware that can computes it in float16."""
        return self.precisions[:1] == ("float16",)


TENSORFLOW, EITHER, AI_EDGE = (
    "tasks.quantize.litert:make",
    "tasks.quantize.mixed:as_asked",  # by TensorFlow's converter where all layers are alike
    "tasks.quantize.mixed:make",
)
# how far apart: sums of floats differ in their order; int8 in the rounding of each layer; dynamic in that LiteRT rounds
# activations to int8 and others do not. Who computes int16x8 in 8 bits lies above its bound
FLOAT32 = Scheme(
    weights=32,
    activations="float32",
    apart=1e-4,
    converts=TENSORFLOW,
    takes=("sparse", *CACHES),
    precisions=("float32",),
    unit=2.0**-23,
    stablehlo="float32",
    reference=True,
)
FLOAT16 = Scheme(  # of weights, which hardware without halves expands
    weights=16,
    activations="float32",
    apart=1e-3,
    converts=TENSORFLOW,
    takes=CACHES,
    precisions=("float16", "float32"),
    unit=2.0**-11,
    stablehlo="float16",
)
DYNAMIC = Scheme(
    weights=8,
    activations="dynamic",
    apart=0.1,
    converts=EITHER,
    takes=WEIGHTS,
    layered=True,
    precisions=("int8", "float32"),
)
INT8 = Scheme(
    weights=8,
    activations="int8",
    apart=0.1,
    converts=EITHER,
    takes=("aware_epochs", "granularity", *INTEGERS, *LAYERS),
    layered=True,
    precisions=("int8",),
)
INT16X8 = Scheme(weights=8, activations="int16", apart=5e-3, converts=EITHER, takes=INTEGERS, layered=True)
INT8_WEIGHTS = Scheme(weights=8, activations="float32", apart=1e-3, converts=AI_EDGE, takes=WEIGHTS, layered=True)
INT4_WEIGHTS = Scheme(weights=4, activations="float32", apart=1e-3, converts=AI_EDGE, takes=WEIGHTS, layered=True)
INT4_DYNAMIC = Scheme(
    weights=4, activations="dynamic", apart=0.1, converts=AI_EDGE, takes=("block", *WEIGHTS), layered=True
)
AS_IS = Scheme(weights=None, activations="float32", apart=0.1, converts=None, reference=True)

SCHEMES = Registry(
    "scheme",
    "tercet.schemes",
    {
        "float32": "tasks.formats.schemes:FLOAT32",
        "float16": "tasks.formats.schemes:FLOAT16",
        "dynamic": "tasks.formats.schemes:DYNAMIC",
        "int8": "tasks.formats.schemes:INT8",
        "int16x8": "tasks.formats.schemes:INT16X8",
        "int8-weights": "tasks.formats.schemes:INT8_WEIGHTS",
        "int4-weights": "tasks.formats.schemes:INT4_WEIGHTS",
        "int4-dynamic": "tasks.formats.schemes:INT4_DYNAMIC",
        "as-is": "tasks.formats.schemes:AS_IS",
    },
    Scheme,
)


def taking(key: str) -> list[str]:
    """The schemes that a key of `quantize` means something for."""
    return [name for name in SCHEMES if key in SCHEMES.load(name).takes]
