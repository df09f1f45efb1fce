"""The flow: prepare → train → compress → quantize → evaluate → benchmark → report → bundle → publish.

The same graph as dvc.yaml, written out in order; `tests/test_contracts.py` holds the two equal.
"""

import logging
import shutil
from collections.abc import Callable, Collection, Sequence
from typing import Any

from prefect import allow_failure, flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from flows import lanes, timeline
from flows.alone import alone
from flows.elsewhere import carriers
from flows.elsewhere.asked import THREADS, Asked, asked
from flows.elsewhere.carriers import HERE, Carriers
from flows.part import Part, part
from flows.push import push as send
from flows.refusals import were_told
from flows.stages import Progress, stage
from flows.stale import Work, work
from flows.start.dvc_bridge import Project
from flows.views.prefect import heed_signals, run_name
from tasks import params, paths, records, track
from tasks.bench import devices
from tasks.errors import TercetError, TrackingError
from tasks.params import BASELINE, Params
from tasks.params.seeds import references
from tasks.records.failures import REFUSALS, words
from tasks.report import markdown
from tasks.report.advice import Advised
from tasks.ship import champion
from tasks.stages import call, sources

Future = PrefectFuture[Any]
WAITING = 128  # a task that waits for another one occupies a thread; what runs at once is limited in flows/lanes.py
ONCE = "what cannot be made as params.yaml asks fails this run alone; later ones say it again and end well"
log = logging.getLogger(__name__)


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="all before has ended")
def quiet() -> None:
    """What measurements here wait for: nothing, once all else has ended."""


class Graph:
    """Submits stages by name and remembers what became of each."""

    def __init__(
        self, project: Project, stale: Collection[str], again: Collection[str] = (), carriers: Carriers = HERE
    ) -> None:
        self.project = project
        self.carriers = carriers
        self.progress = Progress(stale, again)
        self.futures: dict[str, Future] = {}
        self._awaited: tuple[Sequence[Future], list[Any]] = (), []

    def submit(
        self,
        name: str,
        *keys: str,
        label: str,
        after: Sequence[Future] = (),
        once_ended: Sequence[Future] = (),
    ) -> Future:
        """Start a stage when all of `after` have succeeded and all of `once_ended` have ended, however."""
        carry, lane = self.carriers.of(name, *keys)
        task = stage(name, *keys, label=label, progress=self.progress, carry=carry)
        needs = [*after, *self._once(once_ended)]
        busy = self.project.names[(name, *keys)] in self.progress.stale
        turn = lanes.Turn(lane, after[-1]) if after and busy else None
        self.futures[label] = task.submit(self.project, wait_for=[*needs, *([turn] if turn else [])])
        if turn:
            turn.end_with(self.futures[label])
        return self.futures[label]

    def _once(self, ended: Sequence[Future]) -> list[Any]:
        """What to wait for until all of these have ended: one task, as each of n stages would else name n others."""
        if len(ended) > 1 and self._awaited[0] is not ended:
            self._awaited = ended, [quiet.submit(return_state=False, wait_for=list(map(allow_failure, ended)))]
        return self._awaited[1] if len(ended) > 1 else [allow_failure(future) for future in ended]

    def failures(self) -> dict[str, str | None]:
        """Wait for everything submitted; why each stage that is not done failed, or None where it could not start."""
        for future in self.futures.values():
            future.wait()
        ended = {label: future.state for label, future in self.futures.items() if not future.state.is_completed()}
        return {label: _reason(state) for label, state in ended.items()}

    def refused(self) -> dict[str, str]:
        """Of what has failed, why that failed which no other try can make."""
        states = {label: future.state for label, future in self.futures.items() if future.state.is_failed()}
        errors = {label: state.result(raise_on_failure=False) for label, state in states.items()}
        return {label: words(error) for label, error in errors.items() if isinstance(error, REFUSALS)}


def _reason(state: State[Any]) -> str | None:
    if not (state.is_failed() or state.is_crashed()):
        return None
    return words(state.result(raise_on_failure=False))


def told(failures: dict[str, str | None], stages: int) -> str:
    """A line for each stage that failed, the first cause first; those that could not start for it are counted."""
    reasons = [f"{label}: {reason}" for label, reason in failures.items() if reason is not None]
    waiting = len(failures) - len(reasons)
    rest = f"; {waiting} that need{'' if waiting > 1 else 's'} them did not run" if waiting else ""
    return "\n".join([*reasons, f"{len(reasons)} of {stages} stages failed{rest}"])


runner: Any = ThreadPoolTaskRunner(max_workers=WAITING)  # Any: its type parameter is not the one `flow` asks for


@flow(name="tercet", flow_run_name=run_name, task_runner=runner)
def pipeline(
    push: bool = False,  # noqa: FBT001, FBT002  # a parameter of runs
    variants: list[str] | None = None,
    devices: list[str] | None = None,
    remeasure: list[str] | None = None,
    runner: str = THREADS,
) -> None:
    """Bring every output of params.yaml up to date and publish the records.

    Args:
        push: whether what there is then goes to DVC's remote, too.
        variants: those alone, with what they need; none: all.
        devices: those alone; none: all.
        remeasure: pairs that are measured again although nothing has changed, such as `int8@host-cpu` or `invalid`.
        runner: who runs what computes: "threads", "dask" or "ray", with "@" and its address where a cluster is there.

    Raises:
        TercetError: params.yaml is wrong, or stages failed; all others have run, and the message has a line for each.
            What can never be made is told so once only, see `judge`.
    """
    heed_signals()
    with alone("tercet run"):
        settings = params.load()
        chosen = part(settings, variants or [], devices or [])
        bring_up(settings, work(settings, chosen, remeasure or []), chosen, asked(runner), push=push)


def bring_up(settings: Params, found: Work, chosen: Part, runner: Asked, *, push: bool) -> None:
    """What the flow does, in a project that it has to itself; see `pipeline`."""
    shutil.rmtree(paths.FAILURES, ignore_errors=True)  # those of stages that this run may not even come to
    with Project() as project, carriers.opened(runner, chosen.settings.benchmark.devices) as carried:
        graph = Graph(project, found.stages, found.again, carried)
        with graph.progress.bars:
            artifacts = compress(graph, chosen.settings)
            measure(graph, chosen.settings, artifacts)
            failures = conclude(graph, chosen)
        failures |= attempt("dvc.lock", project.write)
    failures |= attempt("timeline", lambda: timeline.save(graph.progress.spans))
    if chosen.whole:
        failures |= attempt("publish", lambda: publish(settings)) | attempt("comparison in Prefect", show_artifact)
    if push:
        failures |= attempt("push", send)
    if chosen.whole and not failures:
        failures |= attempt("dvc status", project.settle)
    judge(graph, settings, failures)


def judge(graph: Graph, settings: Params, failures: dict[str, str | None]) -> None:
    """Fail by what has failed, but for what can never be made and an earlier run has told.

    Raises:
        TercetError: a line for each stage that failed.
    """
    refused = graph.refused()
    reasons = {label: reason for label, reason in failures.items() if reason is not None}
    known = were_told(settings, refused)
    if known and reasons == refused and failures.keys() <= graph.futures.keys():  # no bundle was held back either
        for label, reason in refused.items():
            log.warning("%s: %s; it cannot be made, as an earlier run has told", label, reason)
    elif failures:
        advice = "" if known else f"\n{ONCE}"
        raise TercetError(told(failures, len(graph.futures.keys() | failures.keys())) + advice)


def compress(graph: Graph, settings: Params) -> dict[str, Future]:
    """From the data to every variant; returns the variants' artifacts."""
    given = {kind: graph.submit("sources", kind, label=f"sources {kind}") for kind in sources.KINDS}
    code = graph.submit("code", label="code")
    prepared = graph.submit("prepare", label="prepare", after=[code, given["data"]])
    for name in settings.yardstick:
        graph.submit("yardstick", name, label=f"yardstick {name}", after=[prepared])
    needs = [prepared, given["model"]]
    models = {}
    for name in settings.baselines:
        keys = () if name == BASELINE else (name,)
        models[name] = graph.submit("train", *keys, label=" ".join(("train", *keys)), after=needs)
    for name in settings.model_order():
        method, parent = settings.compress[name].method, settings.compress[name].parent
        models[name] = graph.submit("compress", name, label=f"{method} {name}", after=[*needs, models[parent]])

    artifacts = {}
    for variant, entry in settings.quantize.items():
        made = [models[entry.model]]
        artifacts[variant] = graph.submit("quantize", variant, label=f"quantize {variant}", after=made)
    for variant, reference in references(settings).items():  # which some metrics compare with
        made = [artifacts[variant], artifacts[reference]]
        graph.submit("evaluate", variant, label=f"evaluate {variant}", after=made)
    return artifacts


def measure(graph: Graph, settings: Params, artifacts: dict[str, Future]) -> None:
    """Every variant on every device: estimates first, as a measurement here starts when nothing else runs any more.

    What is not measured here goes variant by variant: the pairs of one device, which wait for each other, would keep
    every thread from those of the others.
    """
    named = devices.estimates_first(settings.benchmark.devices)
    here = {device: devices.here(device) for device in named}
    _pairs(graph, settings, artifacts, [device for device in named if not here[device]], [])
    for device in (device for device in named if here[device]):
        _pairs(graph, settings, artifacts, [device], list(graph.futures.values()))


def _pairs(
    graph: Graph, settings: Params, artifacts: dict[str, Future], named: Sequence[str], before: Sequence[Future]
) -> None:
    """Every variant on these devices, once all of `before` have ended."""
    looked = {device: graph.submit("fingerprint", device, label=f"fingerprint {device}") for device in named}
    for variant, reference in references(settings).items():
        for device in named:
            label = f"benchmark {variant} @ {device}"
            after = [artifacts[variant], looked[device], artifacts[reference]]
            graph.submit("benchmark", variant, device, label=label, after=after, once_ended=before)


def conclude(graph: Graph, chosen: Part) -> dict[str, str | None]:
    """When all is measured: the report, and a bundle for each device whose pairs are known; what failed, and why."""
    failures, settings = graph.failures(), chosen.settings
    if not chosen.whole:  # beside it lies what other stages made of what there was before
        log.info("a part of params.yaml alone: `tercet run` does the rest, the report and the bundles")
        return failures
    if failures:
        # of what there is; DVC knows it for incomplete, and makes it anew when all has run
        failures |= attempt("report", lambda: call("report"))
        if "report" in failures:
            return failures
    needs = [] if failures else [graph.submit("report", label="report")]
    reported = not needs or not graph.failures()
    held: dict[str, str | None] = {}
    for device in settings.benchmark.devices:
        if reported and (unknown := unfit(settings, device)):  # not even begun: DVC would take the old bundle away
            told = f"{unknown}; {paths.bundle(device)} stays as it was"
            log.warning("bundle %s: %s", device, told)
            held[f"bundle {device}"] = None if failures else told  # of what failed that is no more than a consequence
        else:
            graph.submit("bundle", device, label=f"bundle {device}", after=needs)
    return failures | held | graph.failures()


def unfit(settings: Params, device: str) -> str | None:
    """Why the report does not tell what to ship to a device: a pair of it is not known; null where it does."""
    comparison = records.read(records.Comparison, paths.REPORT / "comparison.json")
    return champion.undecided(comparison, device, settings.bundle.budget(device))


def attempt(label: str, step: Callable[[], object]) -> dict[str, str | None]:
    """Take a last step; its own failure is told after those that it may be a consequence of, never in their place."""
    try:
        step()
    except Exception as error:  # whatever it is
        return {label: words(error)}
    return {}


def show_artifact() -> None:
    """Show what to ship and the comparison in Prefect's UI, with where MLflow has more."""
    path = paths.REPORT / "comparison.json"
    if path.exists():
        comparison = records.read(records.Comparison, path)
        advised = records.read(Advised, paths.REPORT / "advice.json")
        text = markdown.render(comparison, advised, {f"MLflow: {name}": at for name, at in track.links().items()})
        create_markdown_artifact(text, key="comparison", description=f"{comparison.name}: what to ship, and every pair")


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="publish")
def publish(settings: Params) -> None:
    """Send the new records to MLflow; a server that is away fails nothing."""
    try:
        published = track.publish(settings)
    except TrackingError as error:
        log.warning("%s", error)
    else:
        log.info("MLflow: %d records sent to %s", published.sent, published.uri)
