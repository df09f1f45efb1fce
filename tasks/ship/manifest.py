"""`manifest.json` of a bundle: what is shipped to a device, why, and what it was found to cost."""

from typing import Any, Literal

from tasks.params import Budget
from tasks.records import Energy, Latency, Memory, Record


class Quality(Record):
    """The champion's quality: on test data, and on the validation data that it was chosen by."""

    metric: str
    value: float
    low: float  # 95 %
    high: float
    n: int
    validation: float


class Figures(Record):
    """What the champion was measured or estimated to cost."""

    quality: Quality
    latency: Latency | None
    memory: Memory | None
    energy: Energy
    bytes: int
    gzip_bytes: int


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


class Manifest(Record):
    """`out/bundles/<device>/manifest.json`: what is shipped to a device, and why. Nothing, if `variant` is null."""

    schema_version: Literal[1] = 1
    device: str
    variant: str | None
    reason: str
    doubts: tuple[str, ...] = ()  # what of the choice the figures do not show
    budget: Budget
    within_budget: bool
    distances: dict[str, float]
    artifact_sha256: str | None  # of the variant's own file, which `program.file` may have been made from
    program: Program | None
    figures: Figures | None
    kernels: Literal["default", "reference"] = "default"  # that the figures' quality stands for
    stand_in: str | None = None  # named where the quality was found on another machine
    files: dict[str, str]  # name to SHA-256 of every other file of the bundle but SHA256SUMS, which has this one's
    versions: dict[str, str]
