"""Where bundles are shipped to."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tasks.params.section import Natural, Section

Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=255)]
Word = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Fleet(Section):
    """The machines that run a device's bundle, or the folder on this one from which it is run."""

    hosts: tuple[Host, ...] = ()  # of your ssh configuration, the canary first; none:
    # a device of kind ssh itself, else this machine
    folder: Word | None = None  # there; null: tercet/<name of the workload>-<device> in the user's home
    python: Word | None = None  # the interpreter there, 3.11 or later; null: the device's own, else python3
    keep: Natural = 2  # bundles that ran before, for `tercet ship --back`
    tolerance: Annotated[float, Field(ge=1)] = 1.5  # so many times the record's latency and energy are let pass
