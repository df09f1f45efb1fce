"""`tercet search`: look whether the search can be made, and only then start what makes it."""

import sys
import time

from flows import given
from flows.start.lines import log_to_terminal
from flows.start.quiet import quiet_libraries
from tasks import params, paths
from tasks.bench import devices
from tasks.errors import ParamsError, UnsupportedError
from tasks.params import Params
from tasks.params.seeds import by_seed

LEAST = "search: {objectives: [{of: quality}, {of: gzip_bytes}]}"


def search(trials: int | None) -> int:
    """Search until so many trials have been made, or as many as params.yaml says, and write the winners into it.

    Returns the exit code: 0, or 1 where the search could not be made.

    Raises:
        ParamsError, UnsupportedError: it cannot be made as params.yaml has it.
    """
    from flows.alone import alone

    quiet_libraries()
    log_to_terminal()
    with alone("tercet search"):
        return _search(trials)


def _search(trials: int | None) -> int:
    from flows.run import tell, under_prefect

    start = time.monotonic()
    settings = asked(trials)

    def begin() -> None:
        from flows.trials import search

        search(settings)

    failure = under_prefect(begin, tensorflow=True)
    print(f"took {time.monotonic() - start:.1f} s", file=sys.stderr)
    return tell(failure)


def asked(trials: int | None) -> Params:
    """What is to be searched, by params.yaml.

    Args:
        trials: instead of the number there.

    Raises:
        ParamsError, UnsupportedError: it cannot be made as params.yaml has it.
    """
    settings = by_seed(params.load())[0]  # a trial is trained once
    if settings.search is None:
        raise ParamsError(f"{paths.PARAMS}: there is no section `search`; the least of one: {LEAST}")
    given.check(settings)
    for name in devices.estimates_first(settings.search.devices):
        if reason := devices.usable(devices.load(name)):
            raise UnsupportedError(f"search: device {name} cannot be used here: {reason}")
    if trials is None:
        return settings
    return settings.model_copy(update={"search": settings.search.model_copy(update={"trials": trials})})
