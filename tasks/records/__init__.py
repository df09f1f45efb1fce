"""The frozen records that cross stages, as they are written to JSON. The JSON files are the truth of a run.

Every figure says where it comes from: `measured`, `estimated`, `emulated`, `published` or `none`; what is not known
is null, never 0.
"""

from tasks.records.artifacts import (
    ArtifactCard,
    Code,
    Layer,
    ModelCard,
    Program,
    Runnable,
    Scenario,
    Sensitivity,
    Signature,
    Tensor,
    judged,
)
from tasks.records.base import SCHEMA_VERSION, Record, read
from tasks.records.comparison import Comparison, Control, Outcome, OverSeeds, Rates, Row, Speed, Subject
from tasks.records.measurements import (
    Energy,
    EnergyKind,
    Flag,
    Instructions,
    Judged,
    Latency,
    Measurement,
    Memory,
    Operator,
    Phase,
    Provenance,
    Published,
    Ratio,
    Status,
    Window,
    inference,
)
from tasks.records.quality import (
    Beside,
    Better,
    Choices,
    Chosen,
    ClassFigures,
    Evaluation,
    Paired,
    Sample,
    Score,
    Split,
    YardstickScores,
    gain,
)

__all__ = [
    "SCHEMA_VERSION", "ArtifactCard", "Beside", "Better", "Choices", "Chosen", "ClassFigures", "Code", "Comparison",
    "Control", "Energy", "EnergyKind", "Evaluation", "Flag", "Instructions", "Judged", "Latency", "Layer",
    "Measurement", "Memory", "ModelCard", "Operator", "Outcome", "OverSeeds", "Paired", "Phase", "Program",
    "Provenance", "Published", "Rates", "Ratio", "Record", "Row", "Runnable", "Sample", "Scenario", "Score",
    "Sensitivity", "Signature", "Speed", "Split", "Status", "Subject", "Tensor", "Window", "YardstickScores", "gain",
    "inference", "judged", "read",
]  # fmt: skip
