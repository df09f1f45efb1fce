"""What a variant costs now against what it cost: its file, its answers, and what a device takes for it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tasks import paths
from tasks.bench import devices, judging, locks, timed
from tasks.bench.device import Device
from tasks.bench.kinds import KINDS
from tasks.bench.pair import EXAMPLES, measure
from tasks.bench.request import Artifact, Made, Request, made_in
from tasks.bench.setup import Setup
from tasks.errors import TercetError, UnsupportedError
from tasks.examples import Examples, dataset, first, save_inputs
from tasks.examples.dataset import LABEL
from tasks.gate import quality
from tasks.gate.decide import Change, enough, exact, judge
from tasks.gate.quality import SPLIT, Side
from tasks.gate.turns import measured
from tasks.params import Params
from tasks.quality.score import grade
from tasks.records import Measurement, Row, Score
from tasks.records.figures import FIGURES, QUALITY
from tasks.records.gate import Finding
from tasks.records.metrics import METRICS
from tasks.scratch import scratch

THEN = "{} as it was"
DISTURBED = "in no turn had both a processor for long enough; on a quieter machine, or with more time, they would"


@dataclass(frozen=True)
class Pair:
    """A variant as it is and as it was, and what is asked of both."""

    params: Params
    now: Side
    before: Side
    other_inputs: str | None = None  # why what it was cannot be given today's examples

    @property
    def variant(self) -> str:
        """Its name today."""
        return self.now.artifact.card.variant

    @property
    def reference(self) -> Artifact | None:
        """What answers are compared with, where the metric compares."""
        beside = METRICS.load(self.params.metric).beside
        return made_in(paths.artifact(self.params.benchmark.reference)) if beside else None

    @property
    def sides(self) -> tuple[Made, Made]:
        """Both artifacts, by names that differ."""
        card = self.before.artifact.card
        named = card.model_copy(update={"variant": THEN.format(card.variant)})
        return self.now.artifact, Made(named, self.before.artifact.path)


def findings(pair: Pair, names: Sequence[str]) -> Iterator[Finding]:
    """All that is told of a variant, on the devices of these names; one finding alone where it is the same file."""
    cards = [each.artifact.card for each in (pair.now, pair.before)]
    if cards[0].sha256 == cards[1].sha256:
        yield Finding(variant=pair.variant, outcome="passed", reason="the very same file")
        return
    yield from _file(pair)
    examples = dataset.load(SPLIT)
    yield from _attempted(pair, None, QUALITY, partial(_quality, pair, examples))
    for name in names:
        yield from _attempted(pair, name, None, partial(_device, pair, name, examples))


def _attempted(
    pair: Pair, device: str | None, figure: str | None, ask: Callable[[], Iterator[Finding]]
) -> Iterator[Finding]:
    """What is found; where that fails, that nothing can be told and why: the others go on."""
    try:
        yield from ask()
    except TercetError as error:
        yield Finding(variant=pair.variant, device=device, figure=figure, outcome="undecided", reason=str(error))


def _file(pair: Pair) -> Iterator[Finding]:
    for key, limit in pair.params.gate.max_growth.limits.items():
        if FIGURES[key].scope == "file":
            sizes = [getattr(each.artifact.card, key) for each in (pair.now, pair.before)]
            if all(sizes):
                yield _told(pair, key, limit, exact(*sizes))


def _quality(pair: Pair, examples: Examples) -> Iterator[Finding]:
    """Of the answers by LiteRT on this machine."""
    limit = pair.params.gate.max_quality_drop
    if limit is None:
        return
    if pair.other_inputs:
        raise UnsupportedError(pair.other_inputs)
    with scratch("gate") as folder:
        metric = pair.params.metric
        asked = (examples, metric, folder, pair.reference)
        scores = [each.score(metric) or quality.answered(each.artifact, *asked) for each in (pair.now, pair.before)]
    yield _judged(pair, limit, scores, examples)


def _judged(
    pair: Pair, limit: float, scores: Sequence[Score], examples: Examples, device: str | None = None
) -> Finding:
    now, before = scores
    change = quality.drop(now, before, examples.targets[LABEL])
    if change is None:
        raise UnsupportedError(f"{now.metric} has no paired test of these two")
    known = {"name": now.metric, "unit": now.unit, "device": device}
    return _told(pair, QUALITY, limit, change, **known, enough=enough(change, limit))


def _device(pair: Pair, name: str, examples: Examples) -> Iterator[Finding]:
    """What a device says: by turns where it can be timed, else by what is known of each of the two."""
    device = devices.load(name)
    if reason := devices.usable(device):
        raise UnsupportedError(reason)
    opened = timed.opened(device)
    if opened is None:
        yield from _estimates(pair, device, examples)
        return
    kind = KINDS.load(device.kind)
    now, before = pair.sides
    with scratch("gate") as folder, locks.hold(kind.lock(device), exclusive=kind.measures), opened as setup:
        inputs = folder / "inputs.npz"
        save_inputs(inputs, first(examples, EXAMPLES))
        yield from _turns(pair, Request(now, before, device, pair.params.benchmark.protocol, inputs), setup)
        if kind.own_kernels and (most := pair.params.gate.max_quality_drop) and not pair.other_inputs:
            scores = [_answered(pair, each, examples, setup, folder) for each in (now, before)]
            yield _judged(pair, most, scores, examples, device.name)


def _turns(pair: Pair, request: Request, setup: Setup) -> Iterator[Finding]:
    limits, device = pair.params.gate.max_growth.limits, request.device.name
    found = measured(request, setup, limits, pair.params.gate.seconds)
    if not found:
        raise UnsupportedError(DISTURBED)
    for key, (change, turns) in found.items():
        if change is None:
            reason = f"{turns} turns are too few to tell of any change; gate.seconds is the time for them"
            yield Finding(
                variant=pair.variant, device=device, figure=key, outcome="undecided", limit=limits[key], n=turns,
                reason=reason,
            )  # fmt: skip
        else:
            yield _told(pair, key, limits[key], change, device=device)


def _answered(pair: Pair, artifact: Artifact, examples: Examples, setup: Setup, folder: Path) -> Score:
    """The quality of an artifact by the device's own kernels."""
    asked = judging.questions(folder, SPLIT, examples, pair.params.metric, pair.reference)
    kept, _ = judging.kept(artifact, asked, setup)
    return grade(kept, examples.targets[LABEL], "default", SPLIT, pair.params.metric)


def _estimates(pair: Pair, device: Device, examples: Examples) -> Iterator[Finding]:
    """What a compiler, a model or a counter says of each of the two by itself: the same each time that it is asked."""
    asked = pair.params.benchmark.protocol, (SPLIT,), pair.params.metric
    results = [measure(each, each, device.name, *asked).measurement for each in pair.sides]
    for found in results:
        if found.status != "ok":
            raise UnsupportedError(f"{found.variant}: {found.reason}")
    rows = [_row(made, found) for made, found in zip(pair.sides, results, strict=True)]
    for key, limit in pair.params.gate.max_growth.limits.items():
        values = [FIGURES[key].of(row) for row in rows if FIGURES[key].scope == "device"]
        known = [each for each in values if each is not None]
        if len(known) == len(rows) and known[0].source == known[1].source:
            yield _told(
                pair, key, limit, exact(*(each.value for each in known)), device=device.name, reason=known[0].origin
            )
    scores = [next(iter(found.scores), None) for found in results]
    if all(scores) and (most := pair.params.gate.max_quality_drop) and not pair.other_inputs:
        yield _judged(pair, most, [each for each in scores if each], examples, device.name)


def _row(made: Made, found: Measurement) -> Row:
    """What figures are read off, of an artifact that is compared by nothing else."""
    card = made.card
    return Row(
        variant=card.variant, device=found.device, model=card.model, scheme=card.scheme, total_epochs=0, metric="",
        quality=None, quality_low=None, quality_high=None, quality_n=0, validation_quality=None, paired=None,
        bytes=card.bytes, gzip_bytes=card.gzip_bytes, measurement=found, outcome="not compared", verdict="",
    )  # fmt: skip


def _told(pair: Pair, key: str, limit: float, change: Change, **known: Any) -> Finding:
    outcome = judge(change, limit)
    wanted = known.pop("enough", None)
    return Finding(
        variant=pair.variant,
        figure=key,
        outcome=outcome,
        limit=limit,
        **_numbers(change),
        enough=wanted if outcome == "undecided" else None,
        **known,
    )


def _numbers(change: Change) -> Mapping[str, Any]:
    inexact = change.n is not None
    return {
        "value": change.value,
        "low": change.low,
        "high": change.high,
        "n": change.n,
        "outside": change.outside if inexact else None,
    }
