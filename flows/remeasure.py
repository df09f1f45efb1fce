"""The flow that measures what is in use once more, and tells where it got worse than its record."""

import logging
import time
from collections.abc import Iterator

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.alone import alone
from flows.views import gate as view
from flows.views.prefect import heed_signals, run_name
from tasks import params, paths, records
from tasks.bench import devices
from tasks.bench.kinds import KINDS
from tasks.bench.pair import measure
from tasks.bench.request import made_in
from tasks.errors import DataError, TercetError
from tasks.gate.again import changes, moved, unlike
from tasks.gate.decide import Change, judge
from tasks.params import Params
from tasks.records import Measurement
from tasks.records.gate import Finding, Gated
from tasks.ship.manifest import Manifest

AGAINST = "its record"
SILENT = "not both days tell a figure of gate.max_growth, as on a machine that was too busy"
log = logging.getLogger(__name__)


@flow(name="tercet-remeasure", flow_run_name=run_name)
def remeasure() -> None:
    """Measure what is shipped to each device there again, and hold it against its record; the records stay.

    What was found is an artifact of the run and `.tercet/remeasured.json`. A device that cannot be reached is told as
    undecided, and the others are measured; so is one whose bundle, record and artifact are not of one file, or whose
    machine has changed.

    Raises:
        TercetError: a figure got worse by more than `gate.max_growth` allows, so that whoever is told of failed runs
            is told of it.
    """
    heed_signals()
    with alone("tercet remeasure"):
        settings, began = params.load(), time.monotonic()
        found = [each for device in settings.benchmark.devices for each in _device(settings, device)]
        told = Gated(against=AGAINST, resolved="", findings=tuple(found), seconds=time.monotonic() - began)
        told.save(paths.STATE / "remeasured.json")
        lines = [view.line(each) for each in found]
        create_markdown_artifact("\n".join(f"- {line}" for line in lines) or "nothing is shipped", key="remeasured")
        for line in lines:
            log.info("%s", line)
        if worse := [view.line(each) for each in found if each.outcome == "breach"]:
            raise TercetError("\n".join(worse))


def _device(settings: Params, device: str) -> Iterator[Finding]:
    """What is told of the variant in a device's bundle; nothing where there is no bundle, or only estimates."""
    manifest = paths.bundle(device) / "manifest.json"
    if not manifest.exists() or not KINDS.load(devices.load(device).kind).measures:
        return
    shipped = records.read(Manifest, manifest)
    if (variant := shipped.variant) is None:
        return
    try:
        then, made = records.read(Measurement, paths.benchmark(variant, device)), made_in(paths.artifact(variant))
        if other := unlike(then, shipped.artifact_sha256, made.card.sha256, settings.benchmark.protocol.mode):
            raise DataError(other)
        now = again.with_options(task_run_name=f"measure {variant} @ {device}")(settings, variant, device)
    except TercetError as error:
        yield Finding(variant=variant, device=device, outcome="undecided", reason=str(error))
        return
    if why := moved(now, then) if now.status == "ok" else now.reason or now.status:
        yield Finding(variant=variant, device=device, outcome="undecided", reason=why)
        return
    found = changes(now, then, settings.gate.max_growth.limits)
    if not found:
        yield Finding(variant=variant, device=device, outcome="undecided", reason=SILENT)
    for key, change in found.items():
        yield _told(settings, variant, device, key, change)


def _told(settings: Params, variant: str, device: str, key: str, change: Change | None) -> Finding:
    limit = settings.gate.max_growth.limits[key]
    told = Finding(variant=variant, device=device, figure=key, limit=limit, outcome="undecided")
    if change is None:
        return told.model_copy(update={"reason": "too few windows to tell of any change"})
    known = {name: getattr(change, name) for name in ("value", "low", "high", "n", "outside")}
    return told.model_copy(update={**known, "outcome": judge(change, limit)})


@task(name="measure", cache_policy=NO_CACHE, persist_result=False)
def again(settings: Params, variant: str, device: str) -> Measurement:
    """Measure one pair as its record was, and keep nothing.

    Raises:
        TercetError: as `pair.measure`.
    """
    made, reference = (made_in(paths.artifact(name)) for name in (variant, settings.benchmark.reference))
    return measure(made, reference, device, settings.benchmark.protocol, ("test",), settings.metric).measurement
