"""`manifest.json` of a bundle: what is shipped to a device, why, and what it was found to cost."""

from typing import Any, Literal

from pydantic import Field

from tasks.params import Budget
from tasks.records import Better, EnergyKind, Provenance, Record
from tasks.records.artifacts import Tensor
from tasks.ship.champion import Near


class Quality(Record):
    """What the figure `quality` is, and what it was on the validation data that the champion was chosen by."""

    metric: str
    unit: str
    better: Better
    validation: float


class Found(Record):
    """A figure of the champion, as the table of figures has it."""

    value: float
    unit: str  # "": as the target itself
    better: Better
    low: float | None
    high: float | None
    bounds: Literal["interval", "range", "bounds"]  # what the ends are: of 95 %, of too few windows, of an estimate
    provenance: Provenance
    source: Provenance | EnergyKind  # the same, as exactly as the record says
    n: int | None  # examples that it is of
    note: str


class Made(Record):
    """How the variant came to be, and what its own file takes and gives."""

    model: str  # of the project
    total_epochs: int
    scheme: str
    converter: str  # name and version
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Data(Record):
    """What the model has learnt from and was judged by."""

    source: str
    kind: str  # of its inputs
    counts: dict[str, int]  # of examples, by split
    origin: dict[str, str]  # name of each file read, and its SHA-256
    sha256: str  # of the record of the prepared data, which has the digest of all that was prepared


class Program(Record):
    """What the figures are of, and what the bundle's script runs."""

    file: str
    sha256: str
    bytes: int
    found_by: str  # the runtime, compiler or model that found the figures: name and version
    serves: str  # the file that classify.py runs: `file`, or what stands in for it on another machine
    module: str  # of the bundle's folder `runner`, by which it does
    options: dict[str, Any]  # the module's
    output: str  # that is answered by
    requires: tuple[str, ...]  # packages that it needs beside numpy


class File(Record):
    """A file of the bundle."""

    sha256: str
    bytes: int


class Examples(Record):
    """Raw examples, and what is expected of them: `classify.py --check` compares with it what it finds on a device.

    The root mean square of the difference may be `bound` times that of the expected outputs about their mean, and
    `step` more.
    """

    file: str  # the raw inputs, as the script reads any others
    outputs: str  # `.npz` of what is expected: float32 [n, ...], of a text the scores of the token after it
    split: str  # of the data that they are the first of
    n: int
    found_by: str  # what answered: name and version
    bound: float
    step: float  # between two integers of an output that is quantized, or what floats are rounded by
    labels: tuple[Any, ...]  # what the data say of each
    answers: tuple[dict[str, Any], ...]  # what the script prints of each


class Firmware(Record):
    """What goes into a microcontroller's firmware: the sources in the bundle's folder `firmware`."""

    array_bytes: int  # of the C array: of flash, read-only data
    alignment: int  # bytes
    operators: tuple[str, ...]  # what the resolver is to add, as its calls are named
    arena_bytes: (
        dict[str, int] | None
    )  # head, tail and total, as TensorFlow Lite Micro recorded them; null: nothing ran
    arena: str | None  # what that counts
    ram: dict[str, float] | None  # of the board: its size, what is set aside beside the arena, and the share in use
    flash: dict[str, float] | None  # likewise, beside the array
    look_up_tables: dict[str, int] | None = (
        None  # bytes, instead of so many; null: weights are as in the variant's file
    )


class Reference(Record):
    """How the champion answered where it was judged: `tercet watch` compares with it what it answers elsewhere."""

    labels: dict[str, int]  # how often each, on the validation data


class Manifest(Record):
    """`out/bundles/<device>/manifest.json`: what is shipped to a device, and why. Nothing, if `variant` is null."""

    schema_version: Literal[2] = 2
    device: str
    variant: str | None
    reason: str
    doubts: tuple[str, ...] = ()  # what of the choice the figures do not show
    budget: Budget
    within_budget: bool
    distances: dict[str, float]
    fastest: str | None = None  # as the choice says
    most_frugal: str | None = None
    nearest_beyond: Near | None = None
    artifact_sha256: str | None = None  # of the variant's own file, which `program.file` may have been made from
    program: Program | None = None
    made: Made | None = None
    data: Data | None = None
    code_sha256: str | None = None  # of the record of the code and the libraries that the bundle hangs from
    licences: dict[str, str | None] = Field(
        default_factory=dict
    )  # by name, of what is in it and of the packages that it needs; null: not told
    examples: Examples | None = None
    firmware: Firmware | None = None
    reference: Reference | None = None
    quality: Quality | None = None
    figures: dict[str, Found] | None = None  # by key, those that are known
    kernels: Literal["default", "reference"] = "default"  # that the figures' quality stands for
    stand_in: str | None = None  # named where the quality was found on another machine
    litertlm: str | None = None  # the file of a language model that LiteRT-LM runs
    no_litertlm: str | None = None  # why there is none of a language model
    files: dict[str, File] = Field(
        default_factory=dict
    )  # by name, every other file of the bundle but SHA256SUMS, which has this one's digest
    versions: dict[str, str]
