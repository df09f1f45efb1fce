"""What can never be made: the first run that is asked for it fails by it, later ones only say it again.

A scheduled run would else be red for ever, and nobody would see when something breaks.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress

from tasks import paths
from tasks.errors import DataError
from tasks.params import Params
from tasks.records import Record, read

KEPT = paths.STATE / "refused.json"


class Refusals(Record):
    """`.tercet/refused.json`: what the last run was refused, and was told to have been."""

    params_sha256: str  # of what asked for it: who has changed that wants to know if it can be made now
    reasons: dict[str, str]  # by the label of the stage


def were_told(params: Params, refused: Mapping[str, str]) -> bool:
    """Whether an earlier run has told all of these refusals, of the same params.yaml; they are kept for the next one.

    Args:
        params: what they were asked by.
        refused: why, by the label of the stage.
    """
    asked = hashlib.sha256(params.model_dump_json().encode()).hexdigest()
    now = Refusals(params_sha256=asked, reasons=dict(refused))
    try:
        before = read(Refusals, KEPT)
    except (DataError, OSError):  # there was none, or a disk was full
        before = Refusals(params_sha256=asked, reasons={})
    if now != before:
        with suppress(OSError):  # a full disk: the next run tells them once more, and this one what has failed
            now.save(KEPT)
    return before.params_sha256 == asked and refused.items() <= before.reasons.items()
