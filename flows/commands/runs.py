"""The commands that make or judge something: `run`, `search`, `gate` and what looks into one model."""

import os
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from flows.commands import arguments, complete

PREFECT = {  # unless the user has set them; another level of the console shows what Prefect itself has to say
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows",  # whose lines stand beside the tasks in its pages
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "DO_NOT_TRACK": "1",
}
Variant = Annotated[
    str, Argument(help="its name in the section `quantize`", autocompletion=complete.variants, show_default=False)
]


def run(
    variant: Annotated[
        list[str] | None,
        Option(metavar="NAME", help="only this one, and the reference", autocompletion=complete.variants),
    ] = None,
    device: Annotated[
        list[str] | None, Option(metavar="NAME", help="only on this one", autocompletion=complete.devices)
    ] = None,
    remeasure: Annotated[
        list[str] | None,
        Option(
            metavar="PAIR|invalid|noisy|crowded|drift",
            help="measure again what has not changed: a pair, or a pattern of them (`*@host-cpu`), or all that are so",
            autocompletion=complete.pairs,
        ),
    ] = None,
    *,
    runner: Annotated[
        str, Option(metavar="NAME[@ADDRESS]", help="who runs what computes: threads, dask or ray; ADDRESS: a cluster's")
    ] = "threads",
    dry_run: Annotated[bool, Option("--dry-run", help="print the stages that it would look at, and end")] = False,
    quiet: Annotated[bool, Option("--quiet", "-q", help="tell only what goes wrong")] = False,
) -> int:
    """`tercet run`."""
    from flows.run import Wish, run

    for name, value in PREFECT.items():
        os.environ.setdefault(name, value)
    wish = Wish(variant or (), device or (), quiet=quiet, dry=dry_run, remeasure=remeasure or (), runner=runner)
    return run(wish)


def search(
    trials: Annotated[
        int | None, Option(metavar="N", parser=arguments.count, help="instead of the number in params.yaml")
    ] = None,
) -> int:
    """`tercet search`."""
    from flows.search import search

    for name, value in PREFECT.items():
        os.environ.setdefault(name, value)
    return search(trials)


def sensitivity(variant: Variant) -> int:
    """`tercet sensitivity VARIANT`."""
    from flows.sensitivity import sensitivity

    _quiet()
    sensitivity(variant)
    return 0


def speculate(
    target: Annotated[
        str,
        Argument(help="its name in the section `quantize`, which has `verify`", autocompletion=complete.variants),
    ],
    draft: Annotated[str, Argument(help="likewise, of a smaller one", autocompletion=complete.variants)],
) -> int:
    """`tercet speculate TARGET DRAFT`."""
    from flows.speculate import speculate

    _quiet()
    speculate(target, draft)
    return 0


def save(
    model: Annotated[
        str, Argument(help="baseline, or its name in the section `compress`", autocompletion=complete.models)
    ],
    folder: Annotated[Path, Argument(metavar="DIR", parser=arguments.folder, help="the folder to be made")],
) -> int:
    """`tercet save MODEL DIR`."""
    from flows.save import save

    _quiet()
    print(save(model, folder))
    return 0


def gate(
    against: Annotated[
        str, Option(metavar="REVISION|ALIAS", parser=arguments.revision, help="main, say, or champion-host-cpu")
    ],
    variants: Annotated[
        list[str] | None,
        Argument(
            metavar="VARIANT",
            help="in the section `quantize`; without it, all",
            autocompletion=complete.variants,
        ),
    ] = None,
    device: Annotated[
        list[str] | None, Option(metavar="NAME", help="only on this one", autocompletion=complete.devices)
    ] = None,
) -> int:
    """`tercet gate --against REVISION`."""
    from flows.gate import gate

    _quiet()
    return gate(against, variants or [], device or [])


def stage(
    name: Annotated[str, Argument(help="its name in dvc.yaml, such as quantize")],
    keys: Annotated[list[str] | None, Argument(metavar="KEY", help="what it is for, such as int8")] = None,
) -> int:
    """`tercet stage NAME [KEY ...]`."""
    from flows.by_dvc import stage

    stage(name, *(keys or []))
    return 0


def _quiet() -> None:
    from flows.start.quiet import quiet_libraries

    quiet_libraries()
