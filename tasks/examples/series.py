"""What prepared windows of a series are, for methods that know of time."""

from typing import Any

from tasks import paths
from tasks.errors import DataError
from tasks.examples import preprocess


def entry(taker: str) -> dict[str, Any]:
    """What preprocess.json says of the windows: their shape, the kind of change that they tell, and how far ahead.

    Args:
        taker: asks for them, for the message.

    Raises:
        DataError: the data are no series.
    """
    inputs = preprocess.read(paths.DATA / "preprocess.json")["inputs"]
    found: list[dict[str, Any]] = [each for each in inputs.values() if "horizon" in each]
    if len(found) != 1:
        raise DataError(f"{taker}: windows of the source series expected; received {', '.join(inputs)}")
    return found[0]
