"""What several seeds come to: each figure's mean over them, and how far that mean may be off. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import mean, stdev

from tasks.params import Params
from tasks.params.seeds import references, replicas
from tasks.records import Comparison, OverSeeds, Row
from tasks.records.figures import FIGURES, Value

FEWEST = 2  # seeds: one says nothing of how far another would be off
OUTSIDE = 0.05  # what an interval may miss, on both sides together


def joined(first: Comparison, further: Sequence[Comparison], params: Params) -> Comparison:
    """The comparison of the first seed, with the others' rows and every figure's mean over all.

    What is chosen and said of a row stays what its own file is worth: that is what is shipped.

    Args:
        first: of the first seed, with what no seed changes.
        further: of each other one.
        params: say which variant is whose.
    """
    whose, seeds = replicas(params), params.all_seeds
    rows = {(row.variant, row.device): [row] for row in first.rows}
    others = []
    for row in (row for each in further for row in each.rows if row.variant in whose):
        of, seed = whose[row.variant]
        others.append(row.model_copy(update={"of": of, "seed": seed}))
        rows.get((of, row.device), []).append(others[-1])
    worth = {(row.variant, row.device): row.validation_quality for row in (*first.rows, *others)}
    against = {name: other for name, other in references(params).items() if name != other}
    told = []
    for row in first.rows:
        own = rows[row.variant, row.device]
        told.append(_first(own, seeds[0], _drops(own, against, worth)) if own[1:] else row)
    changes = {
        "rows": tuple(told),
        "replicas": tuple(others),
        "failures": tuple(line for each in (first, *further) for line in each.failures),
        "refused": tuple(line for each in (first, *further) for line in each.refused),
        "notes": (*first.notes, _note(seeds), *_left_out(rows.values())),
    }
    return first.model_copy(update=changes)


def apart(comparison: Comparison) -> Comparison:
    """Each seed's rows by themselves, device by device, those of a variant together, and no means."""
    own: dict[tuple[str, str | None], list[Row]] = {}
    for row in (*comparison.rows, *comparison.replicas):
        own.setdefault((row.device, row.of or row.variant), []).append(
            row.model_copy(update={"over_seeds": {}, "drop_over_seeds": None})
        )
    rows = tuple(row for first in comparison.rows for row in own[first.device, first.variant])
    seeds = list(dict.fromkeys(row.seed for row in rows if row.seed is not None))
    of_means = {_note(seeds), *_left_out(own.values())}
    notes = tuple(note for note in comparison.notes if note not in of_means)
    return comparison.model_copy(update={"rows": rows, "replicas": (), "notes": notes})


def over(values: Sequence[float]) -> OverSeeds:
    """The mean of what seeds have told, and the interval in which that of all seeds lies.

    Student's t: mean ± t(0.975, n - 1) s / √n. It takes the values for normal; what other examples would have given is
    not in it. Of two seeds it is wide, as it must be: 12.7 times half their distance to each side.

    Args:
        values: two or more, one by each seed.
    """
    from scipy.special import stdtrit  # not for every start

    n, middle = len(values), mean(values)
    reach = float(stdtrit(n - 1, 1 - OUTSIDE / 2)) * stdev(values) / math.sqrt(n)
    return OverSeeds(mean=middle, low=middle - reach, high=middle + reach, n=n)


def _drops(
    rows: Sequence[Row], against: Mapping[str, str], worth: Mapping[tuple[str, str], float | None]
) -> list[float]:
    """By how much each row is worse on validation data than what it is compared with."""
    pairs = [(row, worth.get((against.get(row.variant, ""), row.device))) for row in rows]
    return [row.gain(best, row.worth) for row, best in pairs if best is not None and row.measurement.status == "ok"]


def _first(rows: Sequence[Row], seed: int, drops: Sequence[float]) -> Row:
    """The first seed's row, with the means over all that ran and tell a figure from where the first does."""
    values = {key: [value.value for _, value in told if value.origin == told[0][1].origin] for key, told in _told(rows)}
    found = {key: over(each) for key, each in values.items() if len(each) >= FEWEST}
    drop = over(drops) if len(drops) >= FEWEST else None
    named = {"of": rows[0].variant, "seed": seed}
    return rows[0].model_copy(update={**named, "over_seeds": found, "drop_over_seeds": drop})


def _told(rows: Sequence[Row]) -> Iterator[tuple[str, list[tuple[Row, Value]]]]:
    """Each figure, with the seeds' rows that tell it: of one at least."""
    for key, figure in FIGURES.items():
        if found := [(row, value) for row in rows if (value := figure.of(row))]:
            yield key, found


def _left_out(variants: Iterable[Sequence[Row]]) -> Iterator[str]:
    """What is in no mean, in words: a counter's joules and those of CPU time have none together."""
    for rows in variants:
        others: dict[tuple[tuple[str, ...], str, str], list[str]] = {}  # figures, by whose are left out, and from where
        for key, (first, *more) in _told(rows):
            apart = [(row, value) for row, value in more if value.origin != first[1].origin]
            if apart:
                origins = ", ".join(dict.fromkeys(value.origin for _, value in apart))
                names = tuple(row.variant for row, _ in apart)
                others.setdefault((names, first[1].origin, origins), []).append(key)
        for (names, own, origins), keys in others.items():
            left_out = f"{len(names)} of {len(rows)} seeds ({', '.join(names)})"
            yield (
                f"{rows[0].variant} @ {rows[0].device}: means of {', '.join(keys)} leave out {left_out}, "
                f"whose figures come from elsewhere ({origins}) than the first's ({own})."
            )


def _note(seeds: Sequence[int]) -> str:
    return (
        f"Figures of what is trained are means over the seeds {', '.join(map(str, seeds))}, on the same examples, with "
        "the 95 % interval of Student's t; verdicts, fronts and what is shipped are those of the first seed's files."
    )
