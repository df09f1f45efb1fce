"""The commands that show something: the comparison, the devices, MLflow's pages, this machine."""

import os
import shlex
from typing import Annotated

from typer import Argument, BadParameter, Option

from flows.commands import arguments, complete


def compare(
    variants: Annotated[
        list[str] | None,
        Argument(
            metavar="VARIANT",
            help="only these, by name or pattern (`pruned*`); without it, all",
            autocompletion=complete.variants,
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="only on this one, by name or pattern", autocompletion=complete.devices),
    ] = None,
    sort: Annotated[
        str | None,
        Option(metavar="FIGURE", help="the best first, such as latency_ms", autocompletion=complete.figures),
    ] = None,
    against: Annotated[
        str | None,
        Option(metavar="REVISION", parser=arguments.revision, help="what has changed since this revision of git"),
    ] = None,
    *,
    seeds: Annotated[bool, Option("--seeds", help="each seed's own figures, instead of their means")] = False,
    json: Annotated[bool, Option("--json", help="as JSON")] = False,
    csv: Annotated[bool, Option("--csv", help="as CSV")] = False,
) -> int:
    """`tercet compare [VARIANT ...]`."""
    if json and csv:
        raise BadParameter("--json and --csv: one of them alone")
    from flows.compare import Asked, Form, compare

    form: Form = "json" if json else "csv" if csv else "table"
    compare(Asked(variants or (), device or (), sort, against, form, seeds))
    return 0


def advise(
    subject: Annotated[
        str,
        Argument(
            metavar="VARIANT|FILE",
            parser=arguments.subject,
            help="a variant that is made, or a .tflite file",
            autocompletion=complete.variants,
        ),
    ],
    latency_ms: Annotated[
        float | None, Option(metavar="N", parser=arguments.positive, help="that an inference may take")
    ] = None,
    energy_mj: Annotated[float | None, Option(metavar="N", parser=arguments.positive, help="likewise")] = None,
) -> int:
    """`tercet advise VARIANT|FILE`."""
    from flows.advise import advise

    advise(subject, latency_ms, energy_mj)
    return 0


def devices(
    name: Annotated[
        str | None, Argument(help="only this one, to be connected to", autocompletion=complete.devices)
    ] = None,
    *,
    probe: Annotated[bool, Option("--probe", help="connect to NAME, or to all of them")] = False,
    published: Annotated[
        str | None, Option(metavar="NAME", help="show what others have measured on a device, or on a board")
    ] = None,
    support: Annotated[bool, Option("--support", help="show which operator runs where, at which scheme")] = False,
    json: Annotated[bool, Option("--json", help="as JSON")] = False,
) -> int:
    """`tercet devices`."""
    from flows.devices import told

    return told(matrix=support, board=published, name=(name or "") if probe else name, as_json=json)


def ui(
    port: Annotated[
        int | None,
        Option(metavar="N", parser=arguments.port, help="of the pages; without it 5000, or a free one"),
    ] = None,
) -> int:
    """`tercet ui`."""
    from tasks import track

    pages = track.ui(port)
    if isinstance(pages, track.Command):
        print(shlex.join(pages.argv))
        print(f"{pages.note}{pages.address} (interrupt to stop)", flush=True)
        _tell(pages.views)
        os.execve(pages.argv[0], pages.argv, os.environ | pages.environment)  # noqa: S606  # its own words, no shell
    print(f"MLflow: {pages.shown}")
    _tell(pages.views)
    return 0


def _tell(views: dict[str, str]) -> None:
    for title, address in views.items():
        print(f"{title}: {address}", flush=True)


def publish() -> int:
    """`tercet publish`."""
    from tasks import params, track

    done = track.publish(params.load())
    print(f"{done.sent} records sent to {done.uri}, {done.already} were there, {done.waiting} wait for their files")
    return 0


def doctor(*, json: Annotated[bool, Option("--json", help="as JSON")] = False) -> int:
    """`tercet doctor`."""
    from flows.doctor import doctor

    return doctor(as_json=json)
