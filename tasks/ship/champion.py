"""Which variant a device's budget selects. Pure: the report tells the choice, `bundle` ships it, `track` names it.

Choices are made on validation data; the test set only says, once, what the choice is worth.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tasks.errors import UnsupportedError
from tasks.params import Budget
from tasks.records import Comparison, Record, Row, figures
from tasks.records.figures import FIGURES, Figure, Value
from tasks.records.notation import significant
from tasks.ship.speed import cost, tied, trust

SMALLEST_DROP = 0.001  # a limit of 0 has no ratio to it, so a drop is never counted in less: a tenth of a point, of
# what is no share a thousandth of the reference's
ROUNDING = 1e-9  # 0.98 - 0.97 is a little more than 0.01, and must keep to a limit of 0.01
DROP = "quality_drop"
NEAREST = ("invalid", "error", "unsupported")  # what came of a variant that did not run, the nearest to a result first


FASTEST, FRUGAL = ("latency_ms", "token_ms"), ("energy_mj", "energy_mj_per_token")  # of each the first that is known


class Near(Record):
    """The variant that is nearest to keeping to a budget of those that do not."""

    variant: str
    distances: dict[str, float]  # by goal, as a choice's


class Choice(Record):
    """What a budget selects on one device."""

    device: str
    champion: str
    within_budget: bool  # false: the champion is only the nearest
    distances: dict[str, float]  # by goal, how far beyond its limit, as a share of the limit; 0 where it is kept
    reason: str
    doubts: tuple[str, ...] = ()  # what the figures do not show, each a clause
    tied: tuple[str, ...] = ()  # variants within the budget that cannot be told apart from the best
    fastest: str | None = None  # of those that keep to the budget, or of all where none does; null: no time is known
    most_frugal: str | None = None  # likewise by energy
    nearest_beyond: Near | None = None  # null where every variant that was compared keeps to the budget
    candidates: tuple[str, ...]  # variants that were compared, in the order of the comparison


def select(comparison: Comparison, device: str, budget: Budget) -> Choice:
    """Choose among the variants that ran on `device` and have every figure that the budget asks for.

    Of those within the budget the least of `budget.minimize` wins. Of those that cannot be told apart from it the
    smallest under gzip wins, one that is not `noisy` first; of equals the better on validation data. If none is within
    the budget, the one whose excesses sum to least is chosen, and named as such. What is within is decided by the
    figures themselves; where their intervals reach beyond a limit, the choice says so.

    Raises:
        UnsupportedError: no variant can be compared.
    """
    rows = [row for row in comparison.rows if row.device == device]
    goals = _goals(comparison, rows, budget)
    names = _needed(budget)
    costs = {row.variant: {name: cost(row, rows, FIGURES[name]) for name in names} for row in rows}
    complete = [row for row in rows if all(costs[row.variant].values()) and row.measurement.status == "ok"]
    candidates = _comparable(complete, costs)
    if not candidates:
        raise UnsupportedError(_nobody(device, rows, names))
    distances = {row.variant: _distances(row, goals) for row in candidates}
    within = [row for row in candidates if not any(distances[row.variant].values())]
    least = {row.variant: _known(costs[row.variant], budget.minimize) for row in candidates}
    near = _nearest([row for row in candidates if row not in within], distances)
    if within:
        equal = _least(within, least)
        champion = min(equal, key=_smaller)
    else:
        assert near is not None  # there is a candidate
        equal, champion = [], near
    return Choice(
        device=device,
        champion=champion.variant,
        within_budget=bool(within),
        distances=distances[champion.variant],
        reason=_reason(champion, budget.minimize, equal, len(within), distances)
        + _told(budget.minimize, least[champion.variant])
        + _left_out(complete, candidates),
        doubts=tuple(_doubts(comparison, champion, budget, costs[champion.variant])),
        tied=tuple(row.variant for row in equal if row is not champion),
        fastest=_extreme(within or candidates, rows, FASTEST),
        most_frugal=_extreme(within or candidates, rows, FRUGAL),
        nearest_beyond=near and Near(variant=near.variant, distances=distances[near.variant]),
        candidates=tuple(row.variant for row in candidates),
    )


def _least(rows: Sequence[Row], costs: Mapping[str, Value]) -> list[Row]:
    """The rows of the least cost: all that cannot be told apart from the best."""
    best = min(rows, key=lambda row: costs[row.variant].value)
    return [row for row in rows if tied(costs[row.variant], costs[best.variant])]


def _nearest(rows: Sequence[Row], distances: Mapping[str, Mapping[str, float]]) -> Row | None:
    """The row whose excesses sum to least; None of none."""
    return min(rows, key=lambda row: (sum(distances[row.variant].values()), *_smaller(row)), default=None)


def _extreme(rows: Sequence[Row], device: Sequence[Row], keys: Sequence[str]) -> str | None:
    """The variant that has the least of a figure: of those that cannot be told apart the smallest; None: nobody has it.

    Args:
        rows: among which.
        device: all rows of the device.
        keys: figures, of which the first that a row has is taken.
    """
    for key in keys:
        costs = {row.variant: {key: cost(row, device, FIGURES[key])} for row in rows}
        known = _comparable([row for row in rows if costs[row.variant][key]], costs)
        if known:
            return min(
                _least(known, {row.variant: _known(costs[row.variant], key) for row in known}), key=_smaller
            ).variant
    return None


def undecided(comparison: Comparison, device: str, budget: Budget) -> str | None:
    """Why nothing may be concluded for a device: pairs that failed or were not measured; null where all are known.

    A fault that passes must not change what is shipped: what failed might have been the choice, and so might what was
    measured on a machine that was too busy. A variant that can never be made, as one that is unsupported here, is known
    well enough: it can be none.
    """
    rows = [row for row in comparison.rows if row.device == device]
    told = [f"{row.variant}: {why}" for row in rows if (why := _unknown(row, rows, budget))]
    told += comparison.failures
    if not told:
        return None
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return f"not every variant is known here; {told[0]}{more}"


def _unknown(row: Row, device: Sequence[Row], budget: Budget) -> str | None:
    """Why a row may be another one once it is measured again; null where it is known, were it that it cannot run.

    Args:
        row: the variant on the device.
        device: all rows of that device.
        budget: of its figures of energy it says whether they count.
    """
    m = row.measurement
    if m.unknown:
        return m.reason or "no reason was recorded"
    return m.missed if m.missed and any(_untold(row, device, FIGURES[name]) for name in _needed(budget)) else None


def _untold(row: Row, device: Sequence[Row], figure: Figure) -> bool:
    """Whether what a row costs is not known, or only as it is alone, though others are told in turns."""
    own, known = figure.of(row), cost(row, device, figure)
    return known is None or (known.unpaired and own is not None and not own.unpaired)


def _needed(budget: Budget) -> set[str]:
    """The figures that a choice goes by."""
    return {budget.minimize, *budget.limits}


def drop_bound(row: Row) -> float | None:
    """How far a row's validation quality may be below the reference's: 95 %, one-sided; null without a paired test."""
    return row.validation_paired.drop_bound if row.validation_paired else None


def _goals(comparison: Comparison, rows: Sequence[Row], budget: Budget) -> dict[str, Callable[[Row], float]]:
    """For each limit of the budget, the share by which a row is beyond it (negative or 0: it keeps to it)."""
    goals: dict[str, Callable[[Row], float]] = {}
    if (limit := budget.max_quality_drop) is not None:
        goals[DROP] = _drop_goal(reference_quality(comparison, rows), limit)
    for name, limit in budget.limits.items():
        goals[name] = _limit_goal(name, rows, limit)
    return goals


def _drop_goal(reference: float, limit: float) -> Callable[[Row], float]:
    def excess(row: Row) -> float:
        drop = -row.gain(row.worth, reference)
        return (drop - limit) / max(limit, least_drop(row.unit, reference))

    return excess


def least_drop(unit: str, reference: float) -> float:
    """What a drop is counted in at least, so that one beyond a limit of 0 has a size."""
    return SMALLEST_DROP if unit == "share" else SMALLEST_DROP * abs(reference) or SMALLEST_DROP


def _limit_goal(name: str, rows: Sequence[Row], limit: float) -> Callable[[Row], float]:
    def excess(row: Row) -> float:
        known = cost(row, rows, FIGURES[name])
        return (known.value if known else 0.0) / limit - 1  # `select` has left out the rows without the figure

    return excess


def reference_quality(comparison: Comparison, rows: Sequence[Row]) -> float:
    """The reference's validation quality: on the device of `rows`, else on any other.

    Raises:
        UnsupportedError: the comparison does not hold the reference.
    """
    for row in [*rows, *comparison.rows]:
        if row.variant == comparison.reference and row.validation_quality is not None:
            return row.validation_quality
    raise UnsupportedError(
        f"max_quality_drop is below the reference {comparison.reference!r}, which the comparison does not hold; "
        "it was not evaluated: `tercet run`"
    )


def _distances(row: Row, goals: dict[str, Callable[[Row], float]]) -> dict[str, float]:
    excess = {name: goal(row) for name, goal in goals.items()}
    return {name: value if value > ROUNDING else 0.0 for name, value in excess.items()}


def _smaller(row: Row) -> tuple[Any, ...]:
    """The order of rows that are as good as each other."""
    return "noisy" in row.measurement.flags, row.gzip_bytes, row.gain(0.0, row.worth), row.bytes


def _comparable(rows: Sequence[Row], costs: Mapping[str, Mapping[str, Value | None]]) -> Sequence[Row]:
    """The rows whose figures come from one source each: the most trusted that there is."""
    for name in sorted({name for known in costs.values() for name in known}):
        known = {row.variant: trust(_known(costs[row.variant], name)) for row in rows}
        rows = [row for row in rows if known[row.variant] == min(known.values())]
    return rows


def _known(costs: Mapping[str, Value | None], name: str) -> Value:
    found = costs[name]
    assert found is not None  # `select` has left out the rows without the figure
    return found


def _left_out(complete: Sequence[Row], candidates: Sequence[Row]) -> str:
    names = [row.variant for row in complete if row not in candidates]
    return f"; not compared, because their figures are of a less trusted kind: {', '.join(names)}" if names else ""


def _nobody(device: str, rows: Sequence[Row], wanted: Iterable[str]) -> str:
    if not rows:
        return f"{device}: the comparison holds no variant for this device; measure it: `tercet run`"
    if all(row.measurement.status != "ok" for row in rows):
        first = min(rows, key=lambda row: NEAREST.index(row.measurement.status)).measurement
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        return f"{device}: no variant ran; {first.variant}: {first.reason or first.status}{more}"
    told = sorted({key for row in rows for key in figures.known(row)} & set(figures.lower()))
    return (
        f"{device}: no variant that ran has every figure that the budget asks for: {', '.join(sorted(wanted))}; "
        f"those that ran have {', '.join(told)}"
    )


def _reason(
    champion: Row, minimize: str, tied: Sequence[Row], within: int, distances: dict[str, dict[str, float]]
) -> str:
    name, count = champion.variant, len(distances)
    if not within:
        over = [f"{goal} by {share:.1%}" for goal, share in distances[name].items() if share]
        return f"none of the {count} compared keeps to the budget; {name} is nearest, beyond it in {', '.join(over)}"
    kept = f"of those that keep to the budget ({within} of {count})"
    others = [row.variant for row in tied if row is not champion]
    if not others:
        return f"{name} has the least {minimize} {kept}"
    clear = "noisy" not in champion.measurement.flags and any("noisy" in row.measurement.flags for row in tied)
    which = "the smallest under gzip" + (" that is not noisy" if clear else "")
    apart = f"{', '.join(others)} cannot be told apart from it"
    return f"{name} is {which} of the {len(tied)} with the least {minimize} {kept}: {apart}"


def _told(name: str, known: Value) -> str:
    """A figure with its interval, and with what qualifies it."""
    few, (low, high) = ", the range of few pairs" if known.bounds == "range" else "", known.ends
    left, right = "()" if known.bounds == "bounds" else "[]"
    interval = f" {left}{significant(low)}–{significant(high)}{few}{right}" if low < high else ""
    source = "" if known.origin == "measured" else f", {known.origin}"
    return f"; {name} {significant(known.value)}{interval}{source}"


def _doubts(comparison: Comparison, champion: Row, budget: Budget, costs: Mapping[str, Value | None]) -> Iterator[str]:
    """What of the choice the figures do not show."""
    limit, bound = budget.max_quality_drop, drop_bound(champion)
    if limit is not None and champion.variant != comparison.reference:
        n = f"{champion.validation_n} validation examples" if champion.validation_n else "the validation data"
        drop = "drop" if champion.better == "higher" else "rise"
        if bound is None:
            yield f"whether the {drop} of {champion.metric} is within {limit:g} has no paired test"
        elif bound > limit:
            least = f"{n} only show that it is below {_beyond(bound, limit)}"
            yield f"a {drop} of {champion.metric} within {limit:g} is not distinguishable from one beyond it: {least}"
    mean = champion.drop_over_seeds
    if limit is not None and mean is not None and mean.mean > limit:
        drop = "drop" if champion.better == "higher" else "rise"
        far = _beyond(mean.mean, limit)
        yield f"over {mean.n} seeds the {drop} of {champion.metric} is {far} in the mean, beyond {limit:g}"
    goal = costs[budget.minimize]
    if goal is not None and goal.bounds == "range" and goal.value != goal.ends[1]:
        yield f"its {budget.minimize} is of few pairs, whose range claims nothing: measure in more windows"
    for name, most in budget.limits.items():
        known, told = costs[name], _against_a_limit(champion, name, costs[name])
        if known is not None and told is not None and known.value <= most < told.ends[1]:
            bounds = f"its bounds ({told.origin}) end" if told.bounds == "bounds" else f"its {told.bounds} ends"
            yield f"{name} may be beyond {most:g}: {bounds} at {significant(told.ends[1])}"
    yield from (f"its measurement is flagged {flag}" for flag in champion.measurement.flags)


def _beyond(value: float, limit: float) -> str:
    """A value beyond a limit, with as many digits as show that it is, two at least."""
    return significant(value, next((n for n in range(2, 17) if float(f"{value:.{n - 1}e}") > limit), 17))


def _against_a_limit(row: Row, name: str, compared: Value | None) -> Value | None:
    """A figure with the ends that count against a number: also those that rows share, and so are not compared by."""
    own = FIGURES[name].of(row)
    shared = own is not None and (own.provenance == "estimated" or (compared is not None and compared.low is None))
    return own if shared else compared
