"""Which pairs a run measures again although nothing of them has changed: `tercet run --remeasure`."""

import logging
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import get_args

from tasks import paths, records
from tasks.errors import DataError, WordsError, suggest
from tasks.params import Params
from tasks.records import Flag, Measurement

MARKS = ("invalid", *get_args(Flag))  # that a record may bear, and that a new measurement may be rid of
log = logging.getLogger(__name__)


def pairs(settings: Params, asked: Sequence[str]) -> set[tuple[str, str]]:
    """Variants and devices of what is asked for.

    Args:
        settings: which pairs there are.
        asked: each a mark of records (`invalid`, `noisy`), of which there may be none, or a pattern of pairs, as of
            files: `int8@host-cpu`, `*@host-cpu`.

    Raises:
        WordsError: a pattern fits no pair.
    """
    known = {f"{variant}@{device}": (variant, device) for variant, device in _all(settings)}
    found: set[tuple[str, str]] = set()
    for each in asked:
        if each in MARKS:
            fits = {pair for pair in known.values() if each in _marks(*pair)}
            if not fits:
                log.info("nothing that was measured is %s", each)
        else:
            fits = {pair for name, pair in known.items() if fnmatchcase(name, each)}
            if not fits:
                raise WordsError(f"--remeasure: received {each!r}; {suggest(each, [*MARKS, *known])}")
        found |= fits
    return found


def _all(settings: Params) -> Iterator[tuple[str, str]]:
    yield from ((variant, device) for device in settings.benchmark.devices for variant in settings.quantize)


def _marks(variant: str, device: str) -> tuple[str, ...]:
    """What a pair's record bears; one that is absent or broken is made by any run."""
    try:
        record = records.read(Measurement, paths.benchmark(variant, device))
    except DataError:
        return ()
    return (record.status, *record.flags)
