"""`tercet run`: look whether there is anything to do, and only then start what does it."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows import given
from flows.alone import alone
from flows.elsewhere.asked import THREADS, asked
from flows.part import Part, part
from flows.start import garbage
from flows.start.lines import log_to_terminal
from flows.start.prefect_server import Server, check, past_proxies
from flows.start.quiet import quiet_libraries
from flows.tidy import tidy
from tasks import params, paths
from tasks.errors import TercetError, TrackingError
from tasks.training import fit

if TYPE_CHECKING:
    from flows.stale import Work

MANY = 2000  # pairs, of which a terminal has no use
TENSORFLOW = ("train", "compress", "quantize")  # what the names of the stages begin with that import it


@dataclass(frozen=True)
class Wish:
    """How a run is asked for.

    Attributes:
        variants: those alone, with what they need; none: all of params.yaml.
        devices: likewise.
        quiet: whether only what goes wrong is told.
        dry: whether the stages that would be looked at are printed, and nothing is done.
        remeasure: pairs that are measured again although nothing has changed, as `anew.pairs` takes them.
        runner: who runs what computes, see `flows.elsewhere.runners`.
    """

    variants: Sequence[str] = ()
    devices: Sequence[str] = ()
    quiet: bool = False
    dry: bool = False
    remeasure: Sequence[str] = ()
    runner: str = THREADS


ALL = Wish()


def run(wish: Wish = ALL) -> int:
    """Bring the project up to date; print the comparison and where the report is.

    Returns the exit code: 0, or 1 where stages failed; the comparison then shows what there is.

    Raises:
        TercetError: another process is at work in the project, or params.yaml is wrong.
    """
    quiet_libraries(bars=not wish.quiet)
    log_to_terminal(logging.ERROR if wish.quiet else logging.INFO)
    garbage.leave()
    with alone("tercet run"):
        return _dry(wish) if wish.dry else _run(wish)


def _settings(wish: Wish) -> tuple[params.Params, Part]:
    """Those of the project and of what is asked for, once all that they name is there."""
    asked(wish.runner)
    settings = params.load()
    given.check(settings)
    return settings, part(settings, wish.variants, wish.devices)


def _dry(wish: Wish) -> int:
    """Print the stages that a run would look at, a line each, by their names in dvc.yaml and in its order."""
    settings, chosen = _settings(wish)
    from flows.stale import work
    from flows.start.dvc_bridge import Project

    found = work(settings, chosen, wish.remeasure).stages
    print("\n".join(name for name in Project().names.values() if name in found))
    return 0


def _run(wish: Wish) -> int:
    start = time.monotonic()
    settings, chosen = _settings(wish)
    failure = None
    table = paths.REPORT / "comparison.json"
    # a first run has something to do for sure: its server comes up while DVC is asked what
    server = None if table.exists() or "PREFECT_API_URL" in os.environ else Server()
    from flows.stale import work  # imports DVC: only now that params.yaml is known to be right

    if (found := work(settings, chosen, wish.remeasure)).stages:
        if not wish.quiet:
            print(f"{len(found.stages)} stages to look at", file=sys.stderr)
        failure = _flow(found, wish, server)
    else:
        garbage.look()
        if chosen.whole:  # of a part there may be no report yet
            _publish(settings)
        if not wish.quiet:
            print("everything is up to date: no stage to run", file=sys.stderr)
    if not wish.quiet:
        _show(chosen)
    if not failure:
        tidy(settings)
    if not wish.quiet:
        print(f"took {time.monotonic() - start:.1f} s", file=sys.stderr)
    return tell(failure)


def _show(chosen: Part) -> None:
    """The comparison; of a part, of which no report is made, what its records say."""
    if not chosen.whole:
        from flows.views import table
        from tasks.report.gather import gather

        table.show(gather(chosen.settings))
    elif not (paths.REPORT / "comparison.json").exists():
        return
    elif (pairs := len(chosen.settings.quantize) * len(chosen.settings.benchmark.devices)) > MANY:
        print(f"{pairs} pairs: `tercet compare --device NAME` shows those of one, {paths.REPORT / 'index.html'} all")
    else:
        from flows.compare import Asked, compare

        compare(Asked())


def tell(failure: TercetError | None) -> int:
    """Print what a flow ended with, the first cause first; the command's exit code."""
    for line in str(failure or "").splitlines():
        print(f"tercet: {line}", file=sys.stderr)
    return 1 if failure else 0


def _flow(found: "Work", wish: Wish, server: Server | None) -> TercetError | None:
    def start() -> None:
        from flows.pipeline import pipeline
        from flows.stale import known

        with known(found):
            pipeline(
                variants=list(wish.variants),
                devices=list(wish.devices),
                remeasure=list(wish.remeasure),
                runner=wish.runner,
            )

    names = (name.rpartition(":")[2] for name in found.stages)  # of a further seed's behind the file that it stands in
    tensorflow = wish.runner == THREADS and any(name.startswith(TENSORFLOW) for name in names)
    return under_prefect(start, tensorflow=tensorflow, server=server)


def under_prefect(start: Callable[[], None], *, tensorflow: bool, server: Server | None = None) -> TercetError | None:
    """Start a flow with the user's Prefect server, or with one of its own that ends with this process.

    Args:
        start: imports the flow and calls it.
        tensorflow: whether it will need TensorFlow, which is then imported meanwhile.
        server: one that is coming up already, for the case that the user has none.

    Returns:
        The error that the flow ended with, if it did.

    Raises:
        TercetError: no server answers.
    """
    past_proxies()
    from prefect import tags
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_LOGGING_TO_API_ENABLED,
        get_current_settings,
        temporary_settings,
    )

    url = get_current_settings().api.url
    if not url:
        server = server or Server()
    elif server:
        server.stop()
        server = None
    if tensorflow:
        # while the server comes up in a process of its own, TensorFlow is imported in this one
        threading.Thread(target=_import_tensorflow, daemon=True).start()
    import flows.stages  # noqa: F401  # imports Prefect's flows: likewise

    if not tensorflow:
        garbage.look()

    if server:
        server.wait()
    else:
        check(str(url))
    own: dict[Any, Any] = {}
    if server:  # nobody reads what a server of one's own has kept
        from prefect.events.clients import NullEventsClient
        from prefect.events.worker import EventsWorker

        own = {PREFECT_API_URL: server.address, PREFECT_LOGGING_TO_API_ENABLED: False}
        EventsWorker.set_client_override(NullEventsClient)
    try:
        with temporary_settings(own), tags("tercet", params.load().name):
            start()
    except TercetError as error:
        return error
    return None


def _import_tensorflow() -> None:
    try:
        fit.import_tensorflow()
    finally:
        garbage.look()


def _publish(settings: params.Params) -> None:
    from tasks import track

    try:
        track.publish(settings)
    except TrackingError as error:
        print(f"tercet: {error}", file=sys.stderr)
