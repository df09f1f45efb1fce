"""What a million inferences cost on a device, or a million tokens that are written: its hours, and its energy.

The prices are parameters: `benchmark.prices`. What a prompt costs is not in the cost of a token.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tasks.records.values import Value

if TYPE_CHECKING:
    from tasks.records import Row

MILLION, MS_PER_HOUR, MJ_PER_KWH = 1e6, 3.6e6, 3.6e9
TIMES, ENERGIES = ("token_ms", "latency_ms"), ("energy_mj_per_token", "energy_mj")  # the first that is known counts
WEAKEST = ("bounds", "range", "interval")  # what the ends of a sum are: what the weakest of its parts that have any has


def per_million(row: "Row", known: Callable[[str], Value | None]) -> Value | None:
    """The sum of what has a price: hours of the device, kilowatt-hours.

    Args:
        row: the variant on the device, with its rates.
        known: a figure of the row by its key.

    Returns:
        The cost in the rates' currency; None where nothing has a price, or the time or the energy that has one is not
        known. It is measured where both are; else it is an estimate.
    """
    parts = [(_first(known, keys), scale) for keys, scale in _priced(row)]
    told = [(found, MILLION * scale) for found, scale in parts if found is not None]
    if row.rates is None or not told or len(told) < len(parts):
        return None
    low, high = (sum(found.ends[end] * scale for found, scale in told) for end in (0, 1))
    bounded = [found for found, _ in told if found.low is not None or found.high is not None]
    unknown = {found.unknown if found.bounds == "bounds" else None for found in bounded}
    return Value(
        value=sum(found.value * scale for found, scale in told),
        low=low if bounded else None,
        high=high if bounded else None,
        bounds=min((found.bounds for found in bounded), key=WEAKEST.index, default="interval"),
        source="measured" if all(found.provenance == "measured" for found, _ in told) else "estimated",
        note=f"{row.rates.currency}, {' and '.join(row.rates.of)}",
        unknown=unknown.pop() if len(unknown) == 1 else None,
        unpaired=any(found.unpaired for found, _ in told),
    )


def lacks(row: "Row") -> str | None:
    """Why a row has no cost, where it has a price."""
    if row.rates is None:
        return None
    return f"{' and '.join(row.rates.of)} have a price, and not all of that is known"


def _priced(row: "Row") -> list[tuple[tuple[str, ...], float]]:
    """The figures that have a price, and the price of one unit of each."""
    if row.rates is None:
        return []
    rates = ((TIMES, row.rates.per_hour, MS_PER_HOUR), (ENERGIES, row.rates.per_kwh, MJ_PER_KWH))
    return [(keys, price / units) for keys, price, units in rates if price is not None]


def _first(known: Callable[[str], Value | None], keys: tuple[str, ...]) -> Value | None:
    return next((found for key in keys if (found := known(key)) is not None), None)
