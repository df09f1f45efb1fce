"""What `tercet compare` and `tercet devices` print."""

import json
import sys
from dataclasses import asdict

from flows.views import table
from tasks import paths, track
from tasks.bench import devices as catalog
from tasks.bench.device import Device
from tasks.bench.kinds import KINDS
from tasks.bench.reach import reach
from tasks.errors import ParamsError, TercetError, WordsError, suggest
from tasks.published import table as figures
from tasks.records import Comparison
from tasks.report.advice import Advised

LEGEND = (
    "measured: figures are taken there; computed: estimated or emulated here, as its kind does; absent: not usable here"
)


def show(chosen: Comparison, advised: Advised, whole: Comparison) -> None:
    """Print a comparison, where to see more, and what to ship, which is told by the whole of it."""
    table.show(chosen)
    report = paths.REPORT / "index.html"  # a terminal makes an address a link
    where = report.absolute().as_uri() if sys.stdout.isatty() else report
    print(f"report: {where}\nMLflow: {track.hint()}", flush=True)
    table.show_advice(advised, whole)


def devices(*, as_json: bool = False) -> None:
    """Print each device of the catalog, kind by kind: what it is, and why it cannot be used here if so."""
    found, faults = [], []
    for name in catalog.names():
        try:
            found.append(catalog.load(name))
        except ParamsError as error:  # the others can be used all the same
            faults.append(str(error))
    if as_json:
        told = [_about(device) for device in found]
        print(json.dumps({"devices": told, "wrong": faults}, indent=2, ensure_ascii=False))
        return
    width = max((len(device.name) for device in found), default=0)
    for kind in sorted({device.kind for device in found}, key=list(KINDS).index):
        print(f"{kind}: {KINDS.load(kind).schema.__doc__}")
        for device in (device for device in found if device.kind == kind):
            reason, measures = catalog.usable(device), KINDS.load(kind).measures
            mark = "absent" if reason else "measured" if measures else "computed"
            print(f"  {device.name:<{width}}  {mark:<8}  {device.description}")
            if reason:
                print(f"  {'':<{width}}            {reason}")
    for fault in faults:
        print(f"wrong: {fault}")
    print(LEGEND)


def _about(device: Device) -> dict[str, object]:
    """For scripts: `reason` says why a device is absent; of one that is not measured, figures are computed here."""
    reason = catalog.usable(device)
    about = {"name": device.name, "kind": device.kind, "description": device.description, "board": device.board}
    return {**about, "measured": KINDS.load(device.kind).measures, "usable": reason is None, "reason": reason}


def published(name: str, *, as_json: bool = False) -> None:
    """Print what others have published of a device of the catalog that names its board, or of a board of the table.

    Raises:
        WordsError: there is no such device, or nothing is known of it.
    """
    board = (catalog.load(name).board if name in catalog.names() else None) or name
    rows = figures.of_board(board)
    if not rows:
        raise WordsError(f"device: nobody's figures are known of {name!r}; {suggest(name, figures.boards())}")
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return
    print(
        f"{board}: {len(rows)} figures that others have published; none was measured by us, nothing is chosen by them"
    )
    for row in rows:
        known = [f"{row.latency_ms:g} ms" if row.latency_ms else "", f"{row.energy_mj:g} mJ" if row.energy_mj else ""]
        print(f"  {row.model}, {row.precision}: {', '.join(filter(None, known)) or row.note}; {row.ran_on}")
        print(f"    {row.source}")


def probe(name: str, *, as_json: bool = False) -> bool:
    """Connect to or start one device, or every one for an empty name; a line for each. Whether all answered.

    Raises:
        WordsError: there is no such device.
    """
    if name and name not in catalog.names():
        raise WordsError(f"device: received {name!r}; {suggest(name, catalog.names())}")
    names = [name] if name else catalog.names()
    told = []
    for device in [catalog.load(each) for each in names]:
        try:
            reason = catalog.usable(device)
            said = reason or reach(device)
        except TercetError as error:
            reason = said = str(error)
        told.append({"name": device.name, "answers": reason is None, "said": said})
        if not as_json:
            print(f"{'ok    ' if reason is None else 'absent'}  {device.name}: {said}", flush=True)
    if as_json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    return all(each["answers"] for each in told)
