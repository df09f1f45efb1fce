"""`tercet speculate`: whether a small draft makes a language model faster, on each device."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.views import terminal
from tasks import params, paths
from tasks.errors import ParamsError, WordsError, suggest
from tasks.params import Params

if TYPE_CHECKING:
    from rich.table import Table

    from tasks.bench.request import Made
    from tasks.records import Phase
    from tasks.records.speculation import Speculation

JUDGES = re.compile(r"verify_(\d+)")
VERDICTS = {True: "pays", False: "does not pay", None: "cannot be told"}


def speculate(target: str, draft: str) -> None:
    """Measure two variants together on every device of params.yaml that can, write the records, and print a table.

    Raises:
        WordsError: there is no such variant.
        ParamsError: the target judges no proposals.
        TercetError: a variant has not been made, or a device failed.
    """
    from rich.text import Text

    settings = params.load()
    writes, proposes = (_made(settings, name) for name in (target, draft))
    judging = [JUDGES.fullmatch(each.name) for each in writes.card.signatures]
    ahead = sorted(int(name[1]) - 1 for name in judging if name)
    if not ahead:
        raise ParamsError(
            f"{target}: judges no proposals; say in quantize.{target} how many tokens one call may: `verify: [4, 8]`"
        )
    from tasks.bench import speculation

    found = []
    for device in settings.benchmark.devices:
        for count in ahead:
            each = speculation.measure(writes, proposes, device, settings.benchmark.protocol, count)
            each.save(paths.speculation(target, draft, count, device))
            found.append(each)
    console = terminal.console()
    console.print(Text(f"{target} alone, and with the proposals of {draft}: the same text", style="bold"))
    terminal.show(console, render(found))
    for each in found:
        if each.reason:
            console.print(Text(f"{each.device}, {each.ahead} ahead: {each.reason}", style="dim"))


def _made(settings: Params, variant: str) -> "Made":
    from tasks.bench.request import made_in

    if variant not in settings.quantize:
        raise WordsError(f"no variant is named {variant!r}; {suggest(variant, settings.quantize)}")
    found = made_in(paths.artifact(variant))
    if found.card.scenario != "generate":
        raise ParamsError(f"{variant}: writes no text; a decoder's variant is expected")
    return found


def render(found: Sequence["Speculation"]) -> "Table":
    """The table, a row for each device and number of proposals."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("device", "ahead"):
        table.add_column(heading)
    for heading in ("accepted", "a call", "ms alone", "ms with it", "ratio", "mJ alone", "mJ with it"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("it")
    for each in found:
        table.add_row(each.device, str(each.ahead), *_figures(each), VERDICTS[each.pays] if _ran(each) else each.status)
    return table


def _ran(each: "Speculation") -> bool:
    return each.status == "ok"


def _figures(each: "Speculation") -> list[str]:
    """Of a token each, where it was measured: of a text that is not the target's own nothing is told."""
    from tasks.records.notation import UNKNOWN, interval
    from tasks.records.notation import ratio as written

    if not _ran(each):
        return [UNKNOWN] * 7
    phases, ratio = (each.plain, each.speculated), each.ratio
    times = [_each(phase, phase.latency.ms_mean if phase.latency else None) for phase in phases]
    energies = [f"{_mark(phase)} {_each(phase, phase.energy.mj)}".strip() for phase in phases]
    share = UNKNOWN if each.acceptance is None else f"{each.acceptance:.0%}"
    told = UNKNOWN if ratio is None else f"{written(ratio.value)} {interval(ratio.low, ratio.high, ratio.kind)}"
    return [share, f"{1 + each.accepted / each.calls:.2f}", *times, told, *energies]


def _mark(phase: "Phase") -> str:
    """Whether a counter told the energy, or it is an estimate; nothing where there is none."""
    from tasks.records.figures import Value
    from tasks.records.notation import MARKS

    mj, kind = phase.energy.mj, phase.energy.kind
    return "" if mj is None else MARKS[Value(mj, source=kind).provenance]


def _each(phase: "Phase", of_all: float | None) -> str:
    """What a token takes of what a whole text does."""
    from tasks.records.notation import UNKNOWN

    return UNKNOWN if of_all is None else f"{of_all / phase.volume:.3g}"
