"""One trial: its models, its variant, and the figures by which it is judged. No test example is ever read."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from tasks import paths, track
from tasks.bench import devices, pair
from tasks.bench.judging import kept, questions
from tasks.bench.locks import hold
from tasks.bench.predict import Kernels, litert
from tasks.bench.request import Artifact, Made, made_in
from tasks.closure import Reader
from tasks.code import hangs
from tasks.compress import model as compression
from tasks.errors import DeviceError, TercetError, UnsupportedError
from tasks.examples import Examples, dataset
from tasks.examples.dataset import LABEL
from tasks.files import write_json
from tasks.params import BASELINE, Params, Protocol
from tasks.params.compress import Compress
from tasks.params.search import Search
from tasks.quality.score import grade, metric_of
from tasks.quantize import variant as quantization
from tasks.records import Measurement, Provenance, Row
from tasks.records.figures import FIGURES, QUALITY, Figure, Value
from tasks.records.metrics import METRICS
from tasks.scratch import scratch
from tasks.search.records import Status, Trial
from tasks.search.space import Plan, digest, settings
from tasks.search.stopping import Judge, PoorTrialError
from tasks.ship import speed

Lane = Callable[[str], AbstractContextManager[Any]]
QUICK = Protocol(mode="quick")
TRIES = 4  # of a measurement that another process has spoilt
LEVELS = Lock()  # of the study: trials run beside each other
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workshop:
    """Where trials are made, and what all of them share."""

    params: Params
    search: Search
    folder: Path  # of the study
    models: Path  # of finished models, by what they were made from
    root: str  # tells the baseline, the data and the user's own models apart from all others
    reference: Artifact
    devices: tuple[str, ...]  # estimates first
    lane: Lane  # by the name of a stage: who else may work meanwhile
    reader: Reader = field(default_factory=Reader)  # of the code that makes them

    @property
    def protocol(self) -> Protocol:
        """Never longer than quick: the figures choose, and are measured anew by what reports them."""
        given = self.params.benchmark.protocol
        return given if given.mode == "quick" else QUICK

    def place(self, plan: Plan, name: str) -> Path:
        """Where a model of a plan lies: named by all that it was made from and by. Chains that begin alike share it."""
        if name == BASELINE:
            return paths.model(BASELINE)
        names = [each for each, _ in plan.models]
        entries = [entry for _, entry in plan.models[: names.index(name) + 1]]
        chain = [[settings(entry), hangs.compress(entry, self.reader)] for entry in entries]
        return self.models / digest([self.root, self.search.training.examples, chain])


@dataclass
class Progress:
    """What a trial has found out so far."""

    figures: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Provenance] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def know(self, key: str, value: float | None, provenance: Provenance = "measured") -> None:
        """Note a figure; what is not known is left out."""
        if value is not None:
            self.figures[key], self.provenance[key] = float(value), provenance

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the seconds of a block to a step's."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - start, 3)


def carry_out(workshop: Workshop, number: int, plan: Plan, judge: Judge | None) -> Trial:
    """Make and measure what a plan says, and write its record; what goes wrong is in the record.

    Args:
        workshop: what trials share.
        number: of the trial, which names its folder.
        plan: what to make.
        judge: stops it when it is poor; null: it goes through to its end, however it fares.
    """
    progress = Progress()
    status: Status = "ok"
    reason = None
    try:
        _steps(workshop, number, plan, judge, progress)
    except PoorTrialError as error:
        status, reason = "stopped", str(error)
    except DeviceError as error:
        status, reason = "failed", str(error)
    except TercetError as error:
        status, reason = "refused", str(error)
    except Exception as error:  # the boundary: whatever a library raises on one combination, the others go on
        log.exception("trial %d", number)
        status, reason = "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"
    trial = _record(number, plan, status, reason, progress, handwritten=judge is None)
    trial.save(workshop.folder / str(number) / "trial.json")
    return trial


def _record(
    number: int, plan: Plan, status: Status, reason: str | None, progress: Progress, *, handwritten: bool
) -> Trial:
    return Trial(
        number=number,
        variant=plan.variant,
        key=plan.key,
        label=plan.label,
        handwritten=handwritten,
        models=tuple((name, written(entry)) for name, entry in plan.models),
        entry=plan.entry.model_dump(mode="json", exclude_defaults=True),
        status=status,
        reason=reason,
        figures=progress.figures,
        provenance=progress.provenance,
        seconds=progress.seconds,
    )


def written(entry: Compress) -> dict[str, Any]:
    """An entry as a person would write it: its place and its method first, and no more than is needed."""
    values = entry.model_dump(mode="json", exclude_defaults=True)
    return {"parent": values.pop("parent"), "method": values.pop("method"), **values}


def _steps(workshop: Workshop, number: int, plan: Plan, judge: Judge | None, progress: Progress) -> None:
    """From the cheapest to the dearest figure; after each the judge is asked."""
    if judge:
        judge.before(plan)
    for name, _ in plan.models:
        with progress.timed("compress"):
            _make(workshop, plan, name, judge)
    folder = workshop.folder / str(number) / "artifact"
    with progress.timed("quantize"), workshop.lane("quantize"), hold("local", exclusive=False):
        metric = workshop.params.metric
        quantization.make(folder, plan.variant, plan.entry, partial(workshop.place, plan), metric)
    made = made_in(folder)
    for key in (key for key, figure in FIGURES.items() if figure.scope == "file"):
        progress.know(key, getattr(made.card, key))
    _ask(judge, progress)
    with progress.timed("evaluate"), workshop.lane("evaluate"), hold("local", exclusive=False):
        progress.know(QUALITY, quality(made, workshop.params.metric))
    _ask(judge, progress)
    for device in workshop.devices:
        _measure(workshop, made, device, folder.parent, progress)
        _ask(judge, progress)


def _ask(judge: Judge | None, progress: Progress) -> None:
    if judge:
        judge.known(progress.figures)


def _make(workshop: Workshop, plan: Plan, name: str, judge: Judge | None) -> None:
    """A model of the chain, unless an earlier trial has made it."""
    entry, folder = dict(plan.models)[name], workshop.place(plan, name)
    told = f"val_{METRICS.load(workshop.params.metric).epoch}"

    def on_epoch(epoch: int, metrics: dict[str, float | None]) -> None:
        if judge and (figure := metrics.get(told)) is not None:
            judge.trained(figure, (epoch + 1) / entry.epochs)

    with workshop.lane("compress"):  # asked within: two trials may want the same
        if not folder.exists():
            with hold("local", exclusive=False):
                place = partial(workshop.place, plan)
                compression.make(folder, name, entry, place, training_examples(workshop.search), on_epoch)


def training_examples(search: Search) -> Examples:
    """What trials are trained on: the training split, or as many examples of it as the search takes."""
    train = dataset.load("train")
    count = search.training.examples
    if count is None or count >= len(train):
        return train
    return train.take(np.linspace(0, len(train) - 1, count).round().astype(np.int64))


def quality(made: Artifact, metric: str, kernels: Kernels = "default") -> float:
    """The quality of an artifact on the validation split, by a metric."""
    examples = dataset.load("validation")
    with scratch("quality") as folder:
        asked = questions(folder, "validation", examples, metric_of(examples, metric))
        answers, _ = kept(made, asked, litert(kernels))
    return grade(answers, examples.targets[LABEL], kernels, "validation", metric).value


def _measure(workshop: Workshop, made: Made, device: str, folder: Path, progress: Progress) -> None:
    """The figures of one device.

    Raises:
        UnsupportedError: the variant does not run there as it should, or a figure that is asked for is not told.
        DeviceError: the device was too busy to be measured, time after time, or its meter missed a figure.
    """
    here, metric = devices.here(device), workshop.params.metric
    for _ in range(TRIES):
        # nothing of this process trains while the machine is measured; others are kept off by the machine's lock
        with progress.timed("benchmark"), workshop.lane("compress" if here else "benchmark"):
            reference, protocol = workshop.reference, workshop.protocol
            result = pair.measure(made, reference, device, protocol, ("validation",), metric, track.settle)
        measured = result.measurement
        if not measured.unknown:
            break
    measured.save(folder / f"{device}.json")
    if measured.status != "ok":
        kind = DeviceError if measured.unknown else UnsupportedError
        raise kind(f"{device}: {measured.status}: {measured.reason}")
    row, prices = _row(made, measured, progress.figures[QUALITY]), workshop.params.benchmark.prices
    row = row.model_copy(update={"rates": prices and prices.rates(device)})
    for figure in FIGURES.values():
        if figure.scope == "device" and (value := _figure(row, figure, workshop.folder)) is not None:
            progress.know(f"{figure.key}@{device}", value.value, value.provenance)
    if made.card.sha256 == workshop.reference.card.sha256:
        progress.know(f"latency_ratio@{device}", 1.0)
    wanted = {each.of for each in (*workshop.search.objectives, *workshop.search.goals) if each.device == device}
    if QUALITY in wanted:
        progress.know(
            f"{QUALITY}@{device}",
            device_quality(made, measured, metric),
            "emulated" if measured.stand_in else "measured",
        )
    if missing := [name for name in sorted(wanted) if f"{name}@{device}" not in progress.figures]:
        told = f"{device} does not tell {', '.join(missing)}"
        raise DeviceError(f"{told}: {measured.missed}") if measured.missed else UnsupportedError(told)


def _row(made: Made, measured: Measurement, validation: float) -> Row:
    """A trial as a line of a comparison, for its figures on the device alone: no test example has been read."""
    bare = Row(
        variant=made.card.variant,
        device=measured.device,
        model=made.card.model,
        scheme=made.card.scheme,
        total_epochs=0,
        metric=QUALITY,
        quality=validation,
        quality_low=validation,
        quality_high=validation,
        quality_n=0,
        validation_quality=validation,
        paired=None,
        bytes=made.card.bytes,
        gzip_bytes=made.card.gzip_bytes,
        zstd_bytes=made.card.zstd_bytes,
        measurement=measured,
        outcome="not compared",
        verdict="",
    )
    return bare.model_copy(update={"speed": speed.compared(bare, None)})


def _figure(row: Row, figure: Figure, folder: Path) -> Value | None:
    """A figure on the scale of the study: its ratio to the reference, times what that cost in the first trial there.

    Trials lie hours apart, in which the machine changes: their medians are not compared.

    Args:
        row: a pair that ran.
        figure: which.
        folder: of the study, which keeps what the reference costs on each device.
    """
    if figure.made_of is not None:
        return figure.made_of(row, lambda key: _figure(row, FIGURES[key], folder))
    alone = speed.on_scale(row, figure, None)
    if alone is None or figure.turns is None or not alone.unpaired:  # an estimate needs no scale
        return alone
    is_reference = row.measurement.reference is None
    path = folder / "levels" / f"{row.device}.{figure.key}.json"
    with LEVELS:
        level = alone.value if is_reference else speed.turn_level(row.measurement, figure.turns)
        if level is not None and not path.exists():
            write_json(path, level)
        kept: float | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return speed.on_scale(row, figure, kept, is_reference=is_reference)


def device_quality(made: Artifact, measured: Measurement, metric: str) -> float:
    """The validation quality that stands for a device: by its own kernels, or by those that stand in for them."""
    own = [each.value for each in measured.scores if each.split == "validation"]
    return own[0] if own else quality(made, metric, measured.kernels)
