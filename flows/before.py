"""What a gate compares with: the variants of a revision of git, or the file that an alias of the registry names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import files, paths, records
from tasks.bench.request import made_in
from tasks.errors import DataError, WordsError
from tasks.gate import registered
from tasks.gate.compare import Pair
from tasks.gate.quality import Side
from tasks.params import Params
from tasks.records import Evaluation
from tasks.scratch import scratch
from tasks.ship.manifest import Manifest
from tasks.track import versions

if TYPE_CHECKING:
    from flows.start.revision import Revision

PREPROCESS = paths.DATA / "preprocess.json"
OTHER_DATA = "note: other data than then: what it was may have been trained on what are test examples now"
OTHER_INPUTS = "the examples are prepared otherwise than they were: what it was cannot be asked about today's"


@dataclass(frozen=True)
class Before:
    """What is compared, and where."""

    resolved: str  # the commit, or the version of the registered model
    pairs: tuple[Pair, ...]
    devices: tuple[str, ...]
    notes: tuple[str, ...] = ()


@contextmanager
def before(against: str, params: Params, variants: Sequence[str], devices: Sequence[str]) -> Iterator[Before]:
    """What there was, with what there is, for as long as the block runs.

    Args:
        against: a revision of git, or an alias of the registered model; what git knows is no alias.
        params: as they are.
        variants: by name; none: all, or of an alias what would be shipped to its device.
        devices: by name; none: all of `params`, or of an alias its own.

    Raises:
        WordsError: there is no such revision or alias.
        DataError: nothing was there, or it cannot be had; or a variant has not been made.
        TrackingError: the registry does not answer.
    """
    from flows.start import revision

    with scratch("gate") as folder:
        with revision.at(against) as found:
            if found is not None:
                yield _of_revision(found, params, variants, tuple(devices) or params.benchmark.devices, folder)
                return
        yield _of_alias(against, params, variants, tuple(devices), folder)


def _of_revision(
    found: "Revision", params: Params, variants: Sequence[str], devices: tuple[str, ...], folder: Path
) -> Before:
    named = variants or list(params.quantize)
    there = [name for name in named if found.holds(paths.artifact(name))]
    new = [name for name in named if name not in there]
    if not there or (variants and new):
        raise DataError(f"{found.name}: dvc.lock there knows no {', '.join(new)}; was it committed after `tercet run`?")
    same = found.same(paths.DATA)
    other = None if same else _other_inputs(found, folder)
    pairs = []
    for name in there:
        now = _now(name)
        made = made_in(found.fetch(paths.artifact(name), folder / "artifacts" / name))
        pairs.append(Pair(params, now, Side(made, _evaluation(found, now, folder) if same else None), other))
    notes = [f"note: new since {found.name}, so nothing to compare: {', '.join(new)}"] if new else []
    notes += [] if same else [OTHER_DATA]
    return Before(found.commit, tuple(pairs), devices, tuple(notes))


def _now(variant: str) -> Side:
    """What there is of a variant."""
    made, path = made_in(paths.artifact(variant)), paths.evaluation(variant)
    return Side(made, records.read(Evaluation, path) if path.exists() else None)


def _evaluation(found: "Revision", now: Side, folder: Path) -> Evaluation | None:
    """What was recorded of the answers then, where the same runtime would answer the same today."""
    place = paths.evaluation(now.artifact.card.variant)
    if now.evaluation is None or not found.holds(place):
        return None
    then = records.read(Evaluation, found.fetch(place, folder / "evaluations" / place.name))
    return then if then.runtime == now.evaluation.runtime else None


def _other_inputs(found: "Revision", folder: Path) -> str | None:
    """Why what was made of other data cannot be asked about today's examples; null where it can."""
    then = files.read_json(found.fetch(PREPROCESS, folder / PREPROCESS.name)) if found.holds(PREPROCESS) else None
    now = files.read_json(PREPROCESS)
    return None if then and now and then.get("inputs") == now.get("inputs") else OTHER_INPUTS


def _of_alias(alias: str, params: Params, variants: Sequence[str], devices: tuple[str, ...], folder: Path) -> Before:
    known = versions.aliases(params.name)
    if alias not in known:
        there = ", ".join(sorted(known)) or "none"
        raise WordsError(
            f"--against: received {alias!r}; a revision of git is expected, or an alias of the registered model "
            f"{params.name!r}, of which there are: {there}"
        )
    version = versions.fetch(params.name, known[alias], folder)
    ends = [name for name in params.benchmark.devices if alias.endswith(f"-{name}")]
    own = tuple(sorted(ends, key=len)[-1:])  # raspberry-pi-5 is the end of roofline-raspberry-pi-5, too
    named = variants or [_shipped(own) or version.tags["variant"]]
    prepared = (files.read_json(PREPROCESS) or {}).get("inputs")
    pairs = []
    for name in named:
        now = _now(name)
        made = registered.artifact(version, now.artifact.card)
        asked = [[(each.name, each.shape, each.dtype) for each in side.card.inputs] for side in (now.artifact, made)]
        same = asked[0] == asked[1] and version.inputs in (None, prepared)
        pairs.append(Pair(params, now, Side(made), None if same else OTHER_INPUTS))
    return Before(version.name, tuple(pairs), devices or own or params.benchmark.devices)


def _shipped(devices: Sequence[str]) -> str | None:
    """The variant that would be shipped to a device today; null where nothing would be."""
    for device in devices:
        path = paths.bundle(device) / "manifest.json"
        if path.exists():
            return records.read(Manifest, path).variant
    return None
