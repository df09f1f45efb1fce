"""`tercet gate`: whether what the project has now is worse than what it had, or than what is in use."""

import time
from collections.abc import Collection, Sequence

from flows.before import before
from flows.views import gate as view
from tasks import params, paths
from tasks.errors import WordsError, suggest
from tasks.gate.compare import findings
from tasks.records.gate import Finding, Gated

PASSED, BREACH, UNDECIDED = 0, 1, 3  # 2 is that of words which name nothing


def gate(against: str, variants: Sequence[str], devices: Sequence[str]) -> int:
    """Compare, print a line for each figure, and write `out/gate.json`.

    Args:
        against: a revision of git, or an alias of the registered model.
        variants: by name; none: all that there are at both ends, of an alias the one that its device would be shipped.
        devices: by name; none: all of params.yaml, of an alias its own.

    Returns:
        The exit code.

    Raises:
        WordsError: there is no such revision, alias, variant or device.
        TercetError: what was cannot be had.
    """
    settings, began = params.load(), time.monotonic()
    _check("variant", variants, settings.quantize)
    _check("device", devices, settings.benchmark.devices)
    with before(against, settings, variants, devices) as past:
        found: list[Finding] = []
        for each in (each for pair in past.pairs for each in findings(pair, past.devices)):
            print(view.line(each), flush=True)
            found.append(each)
    for note in past.notes:
        print(note)
    seconds = time.monotonic() - began
    told = Gated(against=against, resolved=past.resolved, findings=tuple(found), notes=past.notes, seconds=seconds)
    told.save(paths.GATE)
    print(view.summary(told))
    outcomes = {each.outcome for each in found}
    return BREACH if "breach" in outcomes else UNDECIDED if "undecided" in outcomes else PASSED


def _check(what: str, received: Sequence[str], allowed: Collection[str]) -> None:
    for name in received:
        if name not in allowed:
            raise WordsError(f"no {what} is named {name!r}; {suggest(name, allowed)}")
