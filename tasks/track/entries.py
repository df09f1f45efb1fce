"""What is sent to MLflow: pure descriptions.

An entry has a `key`, which says what it describes and stays, and a `digest` of all that is sent of it.
"""

from dataclasses import dataclass
from pathlib import Path

from tasks import files
from tasks.track.lineage import Data, digest
from tasks.track.views import View


@dataclass(frozen=True)
class Point:
    """One value of a metric; a curve has one per epoch (`step`, from 0)."""

    key: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Run:
    """A measurement of one variant on one device, or a model with its training curves."""

    key: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    points: tuple[Point, ...]
    data: Data | None = None
    artifact_sha256: str | None = None  # of the file that its metrics are about
    model: str | None = None  # whose training may have streamed the curves already
    texts: Path | None = None  # a folder of what it wrote after each epoch
    began_ms: int | None = None  # Unix time, where it is known
    ended_ms: int | None = None

    @property
    def digest(self) -> str:
        """Of what is sent."""
        points = [(point.key, point.step, point.value) for point in self.points]
        texts = [(path.name, files.sha256(path)) for path in files.below(self.texts)] if self.texts else []
        return digest([self.key, self.params, self.tags, points, *texts])


@dataclass(frozen=True)
class Report:
    """A run that holds the comparison for reading: the page, the table, the parameters, each variant's confusions."""

    key: str
    name: str
    tags: dict[str, str]
    files: tuple[Path, ...]  # as they are
    evaluations: dict[str, Path]  # by variant
    views: tuple[View, ...] = ()  # of the experiment, which the run's description leads to

    @property
    def digest(self) -> str:
        """Of the files."""
        sources = (*self.files, *self.evaluations.values())
        views = [(view.key, view.title, view.mode, view.state) for view in self.views]
        return digest([self.key, self.tags, views, [(str(path), files.sha256(path)) for path in sources]])


@dataclass(frozen=True)
class Artifact:
    """A deployable file: a version of the registered model."""

    key: str
    sha256: str
    variant: str
    file: Path
    tags: dict[str, str]
    description: str  # Markdown

    @property
    def digest(self) -> str:
        """Of what is sent."""
        return digest([self.sha256, self.tags, self.description])


@dataclass(frozen=True)
class Alias:
    """Which artifact a device's budget selects; the champion is the one that it has confirmed (`champions`)."""

    key: str
    name: str
    artifact_sha256: str | None  # null: none

    @property
    def digest(self) -> str:
        """Of what is sent."""
        return digest([self.name, self.artifact_sha256])


Entry = Run | Report | Artifact | Alias
