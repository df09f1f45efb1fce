"""The variants of `quantize`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.formats.scales import Granularity
from tasks.formats.schemes import CACHES, SCHEMES, taking
from tasks.params.section import Count, Name, Natural, Section, Seed

SchemeName = Annotated[str, AfterValidator(SCHEMES.checked)]
KEYS = (
    "aware_epochs",
    "ranges",
    "granularity",
    "exclude",
    "max_quality_drop",
    "bits",
    "block",
    "sparse",
    *CACHES,
)  # that mean nothing at some schemes


class Quantize(Section):
    """One variant: a model at one numeric scheme."""

    model: Name
    scheme: SchemeName
    ranges: Literal["min-max", "percentile", "mse"] = "min-max"  # int8, int16x8: of the activations, by calibration
    percentile: Annotated[float, Field(gt=50, lt=100)] = 99.99  # of the values that the range percentile holds
    granularity: Granularity = "channel"  # int8: of the weights' scales; some accelerators want one for a whole tensor
    exclude: tuple[str, ...] = ()  # layers that stay at `exclude_scheme`, by their names or as "*depthwise*"
    exclude_scheme: Literal["float32", "int16x8"] = "float32"  # int8: of the layers that are excluded
    max_quality_drop: Annotated[float, Field(ge=0)] | None = None  # exclude layers until it holds
    bits: dict[str, Literal[4, 8]] = Field(
        default_factory=dict
    )  # weights of layers, by their names or as "*", where they differ from the scheme's; dynamic, 8: small ones too
    block: Literal[32, 64, 128, 256] | None = (
        None  # int4-dynamic: weights in a row that share a scale, in dense layers; all else then has 8 bits
    )
    sparse: bool = False  # float32: zeros are not stored; kernels that use it are Arm's
    prefill: tuple[Count, ...] = ()  # decoders: tokens of a prompt that one call takes; none: those of a window
    room: Count | None = None  # decoders: tokens that the caches hold; none: a window's, and some behind them
    cache: Literal["int8"] | None = None  # decoders: what caches keep, with one scale a token and head; none: floats
    # decoders: tokens that one call takes behind others and tells of each, for a draft's proposals: `tercet speculate`
    verify: tuple[Annotated[int, Field(ge=2, le=256)], ...] = ()
    aware_epochs: Natural = 0  # quantization-aware training before the conversion
    aware_learning_rate: Annotated[float, Field(gt=0)] = 0.0001
    batch_size: Count = 64
    seed: Seed = 0

    @model_validator(mode="after")
    def _keys_fit_the_scheme(self) -> Self:
        takes = SCHEMES.load(self.scheme).takes
        for key in KEYS:
            default = type(self).model_fields[key].get_default(call_default_factory=True)
            if getattr(self, key) != default and key not in takes:
                raise ValueError(f"{key} means nothing for scheme {self.scheme!r}; it is for {', '.join(taking(key))}")
        others = (self.ranges != "min-max", self.granularity != "channel", self.exclude, self.bits)
        if self.aware_epochs and (any(others) or self.max_quality_drop is not None):
            left = "ranges, granularity, exclude, bits, max_quality_drop"
            raise ValueError(f"aware_epochs trains all layers alike; leave out {left}")
        if self.percentile != type(self).model_fields["percentile"].default and self.ranges != "percentile":
            raise ValueError("percentile means nothing without `ranges: percentile`")
        if self.aware_learning_rate != type(self).model_fields["aware_learning_rate"].default and not self.aware_epochs:
            raise ValueError("aware_learning_rate means nothing without aware_epochs")
        if self.exclude_scheme != "float32" and not self.exclude and self.max_quality_drop is None:
            raise ValueError("exclude_scheme means nothing without exclude or max_quality_drop")
        if self.exclude_scheme != "float32" and not SCHEMES.load(self.scheme).static:
            raise ValueError(
                f"exclude_scheme {self.exclude_scheme!r} is for int8: activations of scheme {self.scheme!r} are floats "
                "between layers; leave it out"
            )
        return self
