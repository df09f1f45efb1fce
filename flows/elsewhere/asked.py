"""Which task runner a run is asked to have, looked at before anything heavy is imported."""

import os
from dataclasses import dataclass
from importlib.util import find_spec

from tasks.errors import ParamsError, WordsError, suggest

THREADS = "threads"
NAMES = (THREADS, "dask", "ray")


@dataclass(frozen=True)
class Asked:
    """A task runner by its name, and where its cluster is; none: on this machine, for this run alone."""

    name: str
    address: str | None = None


def asked(text: str) -> Asked:
    """What `NAME` or `NAME@ADDRESS` says.

    Raises:
        WordsError: there is no such runner.
        ParamsError: its package is not installed, or workers elsewhere have no server to
            report to.
    """
    name, at, address = text.partition("@")
    if name not in NAMES or bool(at) != bool(address) or (at and name == THREADS):
        raise WordsError(
            f"runner: received {text!r}; {suggest(name, NAMES)}; with a cluster, dask@ADDRESS or ray@ADDRESS"
        )
    package = f"prefect-{name}"
    if name != THREADS and find_spec(package.replace("-", "_")) is None:
        raise ParamsError(f"runner {name}: {package} is not installed: `pip install {package}`")
    if address and not os.environ.get("PREFECT_API_URL"):
        raise ParamsError(
            f"runner {text}: workers elsewhere report to Prefect's server: set PREFECT_API_URL to one that they reach"
        )
    return Asked(name, address or None)
