"""What `tercet compare` and `tercet devices` print."""

from flows.views import table
from tasks import paths, track
from tasks.bench import devices as catalog
from tasks.bench.kinds import KINDS
from tasks.bench.reach import reach
from tasks.errors import ParamsError, TercetError, suggest
from tasks.published import table as figures
from tasks.records import Comparison
from tasks.report.advice import Advised


def show(chosen: Comparison, advised: Advised, whole: Comparison) -> None:
    """Print a comparison, where to see more, and what to ship, which is told by the whole of it."""
    table.show(chosen)
    print(f"report: {paths.REPORT / 'index.html'}\nMLflow: {track.hint()}", flush=True)
    table.show_advice(advised, whole)


def devices() -> None:
    """Print each device of the catalog, kind by kind: what it is, and why it cannot be used here if so."""
    found, faults = [], []
    for name in catalog.names():
        try:
            found.append(catalog.load(name))
        except ParamsError as error:  # the others can be used all the same
            faults.append(str(error))
    width = max((len(device.name) for device in found), default=0)
    for kind in sorted({device.kind for device in found}, key=list(KINDS).index):
        print(f"{kind}: {KINDS.load(kind).schema.__doc__}")
        for device in (device for device in found if device.kind == kind):
            reason = catalog.usable(device)
            print(f"  {device.name:<{width}}  {'absent' if reason else 'usable'}  {device.description}")
            if reason:
                print(f"  {'':<{width}}          {reason}")
    for fault in faults:
        print(f"wrong: {fault}")


def published(name: str) -> None:
    """Print what others have published of a device of the catalog that names its board, or of a board of the table.

    Raises:
        ParamsError: there is no such device, or nothing is known of it.
    """
    board = (catalog.load(name).board if name in catalog.names() else None) or name
    rows = figures.of_board(board)
    if not rows:
        raise ParamsError(f"device: nobody's figures are known of {name!r}; {suggest(name, figures.boards())}")
    print(
        f"{board}: {len(rows)} figures that others have published; none was measured by us, nothing is chosen by them"
    )
    for row in rows:
        known = [f"{row.latency_ms:g} ms" if row.latency_ms else "", f"{row.energy_mj:g} mJ" if row.energy_mj else ""]
        print(f"  {row.model}, {row.precision}: {', '.join(filter(None, known)) or row.note}; {row.ran_on}")
        print(f"    {row.source}")


def probe(name: str) -> bool:
    """Connect to or start one device, or every one for an empty name; a line for each. Whether all answered.

    Raises:
        ParamsError: there is no such device.
    """
    names = [name] if name else catalog.names()
    answered = True
    for device in [catalog.load(each) for each in names]:
        try:
            reason = catalog.usable(device)
            said = reason or reach(device)
        except TercetError as error:
            reason = said = str(error)
        answered &= reason is None
        print(f"{'ok    ' if reason is None else 'absent'}  {device.name}: {said}", flush=True)
    return answered
