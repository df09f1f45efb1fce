"""The commands that work on bundles: keys and signatures, shipping, serving, watching."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, BadParameter, Option

from flows.commands import arguments, complete

Devices = Annotated[
    list[str] | None,
    Argument(metavar="DEVICE", help="whose bundle; without it, every one", autocompletion=complete.devices),
]


def keys(
    action: Annotated[Literal["show", "new", "rotate", "revoke"], Argument()] = "show",
    key: Annotated[
        str | None, Argument(help="to rotate: root, or without it release; to revoke: its first digits")
    ] = None,
) -> int:
    """`tercet keys [show|new|rotate|revoke]`."""
    from flows import keys

    if action == "show":
        print("\n".join(keys.show()))
    elif action == "new":
        print(keys.new())
    else:
        print({"rotate": keys.rotate, "revoke": keys.revoke}[action](key))
    return 0


def sign(devices: Devices = None) -> int:
    """`tercet sign [DEVICE ...]`."""
    from flows.sign import sign

    for line in sign(devices or []):
        print(line)
    return 0


def ship(
    devices: Annotated[
        list[str] | None,
        Argument(
            metavar="DEVICE", help="whose; the section `ship` says where it goes", autocompletion=complete.devices
        ),
    ] = None,
    *,
    back: Annotated[bool, Option("--back", help="have them run again what they ran before")] = False,
    status: Annotated[bool, Option("--status", help="say what runs where; without DEVICE, of all")] = False,
    unsigned: Annotated[
        bool, Option("--unsigned", help="ship what nobody has signed, where no key is trusted yet")
    ] = False,
) -> int:
    """`tercet ship [DEVICE ...]`."""
    if back + status + unsigned > 1:
        raise BadParameter("--back, --status and --unsigned: one of them alone")
    from flows import ship

    if status:
        return ship.status(devices or [])
    return ship.back(devices or []) if back else ship.ship(devices or [], signed=not unsigned)


def serve(
    bundle: Annotated[
        Path,
        Argument(metavar="BUNDLE", parser=arguments.folder, help="its folder, such as out/bundles/host-cpu"),
    ],
    host: Annotated[str, Option(help="an address of this machine; by itself, only it can ask")] = "127.0.0.1",
    port: Annotated[int, Option(metavar="N", parser=arguments.port_or_any, help="0 takes a free one")] = 8000,
    workers: Annotated[
        int | None,
        Option(metavar="N", parser=arguments.count, help="models side by side; times threads: the processors"),
    ] = None,
    threads: Annotated[
        int | None,
        Option(metavar="N", parser=arguments.count, help="of each; without it, those it was measured with"),
    ] = None,
    queue: Annotated[
        int, Option(metavar="N", parser=arguments.count, help="requests that may be there at once; more get 503")
    ] = 256,
    limit: Annotated[
        int, Option(metavar="S", parser=arguments.count, help="seconds in which one is answered, or 504")
    ] = 10,
) -> int:
    """`tercet serve BUNDLE`."""
    from flows.serve import Wish, serve
    from tasks.serve.app import Limits

    limits = Limits(seconds=limit, inside=queue)
    serve(Wish(bundle, host, port, workers, threads, limits))
    return 0


def watch(
    source: Annotated[str, Argument(metavar="ADDRESS", help="of `tercet serve`, or a file of what its /counts said")],
) -> int:
    """`tercet watch ADDRESS`."""
    from flows.watch import watched

    return 0 if watched(source) else 1
