"""Records of models and of the files that are made of them."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from tasks.records.base import Record

Scenario = Literal["single", "generate"]
Preserved = tuple[Literal["sparsity", "clusters"], ...]


class Tensor(Record):
    """One named input or output of an artifact."""

    name: str
    shape: tuple[int, ...]  # without the batch axis
    dtype: str
    scale: float | None = None  # real = scale * (integer - zero_point), where quantized
    zero_point: int | None = None


class Signature(Record):
    """One of several ways to call an artifact."""

    name: str
    inputs: tuple[Tensor, ...]  # with all their axes
    outputs: tuple[Tensor, ...]
    state: dict[str, str] = Field(default_factory=dict)  # by an output's name, the input of the next call that it is
    in_place: bool = False  # whether each state may lie in the same memory as input and as output
    places: int | None = None  # tokens that the state has room for; null where the file does not show it


def judged(outputs: Sequence[Tensor]) -> str:
    """The name of the output that quality is of: of several the one that learned the target `label`, else the first."""
    return next((tensor.name for tensor in outputs if tensor.name == "label"), outputs[0].name)


class Layer(Record):
    """What compression left in one layer's kernel."""

    name: str
    parameters: int
    sparsity: float  # share of exact zeros
    unique_values: int


class Code(Record):
    """A Python module of the user's, which registers layers that a model has."""

    module: str
    sha256: str  # of its sources: what is made of the model hangs from them


class ModelCard(Record):
    """`out/models/<model>/card.json`: a Keras model, or a LiteRT file of one's own."""

    schema_version: Literal[1] = 1
    model: str
    parent: str | None
    method: str  # "train", or the method of `compress`
    parameters: int | None  # null where only the runtime knows the network
    epochs: int  # trained in this stage
    # all that led here, since the first weights or a file of one's own, a student's teacher among it: what an
    # equal-budget control must match
    total_epochs: int
    layers: tuple[Layer, ...]
    preserves: Preserved = ()  # what a later method must keep
    history: dict[str, tuple[float | None, ...]]  # one value an epoch; null: it was no finite number
    code: Code | None = None
    # by section or method: what it was made by, defaults among it
    params: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @property
    def class_weights(self) -> Literal["none", "balanced"]:
        """How classes counted when it was trained last, as `Training.class_weights` has it."""
        weighed = any(each.get("class_weights") == "balanced" for each in self.params.values())
        return "balanced" if weighed else "none"


class Program(Record):
    """The network of an artifact once more, for another runtime, in a file beside it."""

    file: str
    sha256: str
    bytes: int
    inputs: tuple[str, ...]  # the names of its arguments, in order
    outputs: tuple[str, ...]


class Sensitivity(Record):
    """What one layer loses where it alone is quantized and all others are float32, on validation data."""

    layer: str
    operators: tuple[str, ...]  # what the layer has become
    quality_drop: float  # how much worse than the float32 artifact; negative where it is better
    unit: str = "share"  # of the drop
    sqnr_db: float | None  # of the outputs: signal to quantization noise; null where there is no noise
    n: int  # examples


class Runnable(Record):
    """What a device must know of a file to run it, or to say what it would cost."""

    variant: str
    scheme: str
    sha256: str
    inputs: tuple[Tensor, ...] = ()  # what answers an example takes, and what it gives; none where nobody asks it
    outputs: tuple[Tensor, ...] = ()
    signatures: tuple[
        Signature, ...
    ] = ()  # every way to call it, where there are several: the one above, where none is
    stablehlo: Program | None = None
    no_stablehlo: str | None = None  # why there is none

    @property
    def scenario(self) -> Scenario:
        """How it is driven: by one call for each example, or as what writes a text and keeps a state meanwhile."""
        return "generate" if any(signature.state for signature in self.signatures) else "single"

    @property
    def asked(self) -> str | None:
        """The signature that answers an example at every one of its places; null where one answer is for the whole."""
        if self.scenario == "single" or len(self.outputs[0].shape) == 1:
            return None
        return f"score_{self.inputs[0].shape[0]}"


class ArtifactCard(Runnable):
    """`out/artifacts/<variant>/card.json`: a file that can be deployed."""

    schema_version: Literal[1] = 1
    model: str
    file: str
    bytes: int
    gzip_bytes: int  # gzip -9: the size of a download
    zstd_bytes: int | None = None  # zstd -19, of up to 64 MiB
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: dict[str, int]  # how many of each
    state_bytes: int | None = None  # of what it keeps of a text, in its largest room; null: it keeps nothing
    aware_epochs: int = 0
    ranges: str = "min-max"  # of the activations, where the scheme has any: how they were chosen
    excluded: tuple[str, ...] = ()  # layers that are not at the scheme
    allowed_drop: float | None = None  # that layers were excluded for, on validation data
    validation_drop: float | None = None  # what it came to: how much worse than the float32 artifact
    sensitivity: tuple[Sensitivity, ...] = ()  # where it was needed, the most sensitive layer first
    distance: float | None = None  # of the answers from the Keras model's, over their spread; null: there is no such
    note: str | None = None  # what the scheme's name would hide
    converter: str  # name and version
    params: dict[str, Any] = Field(default_factory=dict)  # of its entry in `quantize`, defaults among them
