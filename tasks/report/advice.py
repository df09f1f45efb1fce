"""What to ship to each device, why, and by how much it differs from the reference: the answer that all else serves.

Pure. The report and the terminal show it; the stage `bundle` ships by the same choice.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

from tasks import paths
from tasks.errors import UnsupportedError
from tasks.params import Params
from tasks.records import Comparison, Record, Row, figures, notation
from tasks.report import verdict
from tasks.ship import champion
from tasks.ship.champion import Choice

MS_PER_H, MJ_PER_KWH = 3.6e6, 3.6e9


class Advice(Record):
    """What to ship to one device, or why nothing."""

    device: str
    choice: Choice | None
    nothing: str | None = None  # why there is no choice


class Advised(Record):
    """`out/report/advice.json`: one for each device of params.yaml."""

    schema_version: Literal[1] = 1
    devices: tuple[Advice, ...]


def advise(comparison: Comparison, params: Params) -> Advised:
    """Choose for every device that `params` names."""
    return Advised(devices=tuple(_advise(comparison, params, device) for device in params.benchmark.devices))


def _advise(comparison: Comparison, params: Params, device: str) -> Advice:
    budget = params.bundle.budget(device)
    if unknown := champion.undecided(comparison, device, budget):
        return Advice(device=device, choice=None, nothing=f"{unknown}; what an earlier run has shipped stays")
    try:
        return Advice(device=device, choice=champion.select(comparison, device, budget))
    except UnsupportedError as error:
        return Advice(device=device, choice=None, nothing=str(error).removeprefix(f"{device}: "))


def title(advice: Advice) -> str:
    """The device and what is shipped to it."""
    if advice.choice is None:
        return f"{advice.device}: nothing"
    return f"{advice.device}: {advice.choice.champion}, in {paths.bundle(advice.device)}"


def words(advice: Advice, comparison: Comparison) -> list[str]:
    """Why, by how much, and what of it the figures do not show: a sentence each."""
    if advice.choice is None:
        return [f"{(advice.nothing or 'no reason was recorded').rstrip('.')}."]
    rows = [row for row in comparison.rows if row.device == advice.device]
    row = next(row for row in rows if row.variant == advice.choice.champion)
    told = [advice.choice.reason]
    if against := "; ".join(_changes(row, rows, comparison)):
        told.append(f"Against {comparison.reference}: {against}")
    told += _over_seeds(row, comparison.reference)
    told += _apart(advice.choice)
    told += _million(row)
    told += [f"But {doubt}" for doubt in advice.choice.doubts]
    told += [f"But it {verdict.yardstick(row, each)}" for each in row.yardsticks if not verdict.beats(row, each)]
    return [f"{text}." for text in told]


def _over_seeds(row: Row, reference: str) -> list[str]:
    """By how much its method is worse than the reference of the same seed, over all seeds."""
    found, n = row.drop_over_seeds, row.validation_n or 0
    if found is None:
        return []
    change, reach = notation.change(row.gain(0, found.mean), row.unit, n), found.high - found.mean
    around = notation.percent(reach, n) if row.unit == "share" else notation.significant(reach)
    return [
        f"Over {found.n} seeds {row.metric} changes by {change} ±{around} (95 %) against {reference} of the same seed"
    ]


def _apart(choice: Choice) -> list[str]:
    """Which variant is the fastest and which the most frugal, where these are two; and what just missed the budget."""
    told = []
    if choice.fastest and choice.most_frugal and choice.fastest != choice.most_frugal:
        told.append(f"The fastest is {choice.fastest}, the most frugal {choice.most_frugal}")
    if choice.within_budget and (near := choice.nearest_beyond):
        over = ", ".join(f"{goal} by {share:.1%}" for goal, share in near.distances.items() if share)
        told.append(f"The nearest of those that do not keep to the budget is {near.variant}, beyond it in {over}")
    return told


def _million(row: Row) -> list[str]:
    """What a million tokens take, of what writes a text."""
    found = figures.known(row)
    if (token := found.get("token_ms")) is None:
        return []
    told = f"A million tokens take {notation.significant(token.value * 1e6 / MS_PER_H)} hours"
    if energy := found.get("energy_mj_per_token"):
        kwh = energy.value * 1e6 / MJ_PER_KWH
        told += f" and {notation.significant(kwh)} kWh ({notation.ENERGY_KINDS.get(energy.source, energy.source)})"
    return [told if token.provenance == "measured" else f"{told}, {token.provenance}"]


def _changes(row: Row, device: Sequence[Row], comparison: Comparison) -> Iterator[str]:
    """Latency, quality and size of a row against the reference's."""
    own = [other for other in [*device, *comparison.rows] if other.variant == comparison.reference]
    base = next((other for other in own if other.quality is not None), None)
    if base is None or row.variant == base.variant:
        return
    if found := row.speed:
        other = "" if found.against == base.variant else f" of {found.against}"
        interval = notation.interval(found.low, found.high, found.kind)
        yield f"{notation.ratio(found.ratio)}× the {found.of}{other} {interval}".rstrip()
    yield _drop(row, base)
    yield notation.file(base.bytes / row.bytes, base.gzip_bytes / row.gzip_bytes)


def _drop(row: Row, base: Row) -> str:
    """The change of quality that the choice was made by, and how large a drop the examples leave possible."""
    n = row.validation_n or 0
    change = notation.change(row.worth - base.worth, row.unit, n)
    bound, way = champion.drop_bound(row), "lower" if row.better == "higher" else "higher"
    most = "" if bound is None else notation.quality(bound, row.unit, n).removesuffix(" %")
    sure = f", at most {most} {way} (95 %)" if most else ""
    return f"{row.metric} {change} on {n} validation examples{sure}" if n else f"{row.metric} {change}"
