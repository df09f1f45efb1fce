"""Bring to the tracking server what it does not have."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tasks import redact
from tasks.params import Params
from tasks.track import contents, ledger, server
from tasks.track.client import import_mlflow
from tasks.track.entries import Artifact, Entry
from tasks.track.patience import within
from tasks.track.store import Outcome, Store
from tasks.track.stream import settle

PATIENCE_S = 60.0  # for one record; a server that is only slow gets on with it
SLOWEST_BYTES_S = 100_000  # of a file on its way


@dataclass(frozen=True)
class Published:
    """How many records (runs, artifacts, aliases) went where."""

    sent: int
    already: int
    waiting: int  # their file is not on this machine: `tercet run` restores it
    uri: str  # without credentials


def publish(params: Params) -> Published:
    """Send every record that the tracking server does not have yet, each once, whoever else publishes or was killed.

    Raises:
        TrackingError: the server is away or refuses; what it does not have stays for the next `tercet publish`.
        DataError: the report has not been made.
    """
    uri, everything = server.uri(), contents.collect(params)
    if not ledger.unknown(uri, everything):
        return Published(0, len(everything), 0, redact.shown(uri))
    settle()
    outcomes: list[Outcome] = []
    with ledger.single_publisher():
        try:
            with server.told(uri):
                import_mlflow()
                store = within(PATIENCE_S, partial(Store, uri, params.name))
                _withdraw(store, uri, params.name, everything)
                # only now: another publisher may have been at work, and a new experiment has nothing
                for entry in ledger.unknown(uri, everything):
                    outcomes.append(within(_limit_s(entry), partial(store.send, entry)))
                    if outcomes[-1] != "waiting":
                        ledger.remember(uri, entry)
        finally:
            ledger.gather()
    sent, waiting = outcomes.count("sent"), outcomes.count("waiting")
    return Published(sent, len(everything) - sent - waiting, waiting, redact.shown(uri))


def _withdraw(store: Store, uri: str, experiment: str, everything: Sequence[Entry]) -> None:
    """Take back what no record describes any more: a variant that has another name now, say, a device that is removed.

    Of what this project has sent: another one may publish other variants and devices to the same experiment.
    """
    gone = ledger.left(uri, experiment, {entry.key for entry in everything})
    for key, digest in gone.items():
        within(PATIENCE_S, partial(store.withdraw, key, digest))
    ledger.drop(uri, gone)


def _limit_s(entry: Entry) -> float:
    size = entry.file.stat().st_size if isinstance(entry, Artifact) and entry.file.exists() else 0
    return PATIENCE_S + size / SLOWEST_BYTES_S
