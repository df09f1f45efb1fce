"""What several seeds come to: each figure's mean over them, and how far that mean may be off. Pure."""

import math
from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from tasks.params import Params
from tasks.params.seeds import references, replicas
from tasks.records import Comparison, OverSeeds, Row
from tasks.records.figures import FIGURES

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
        "notes": (*first.notes, _note(seeds)),
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
    notes = tuple(note for note in comparison.notes if note != _note(seeds))
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
    """The first seed's row, with the means over all that ran."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for key, figure in FIGURES.items():
            if value := figure.of(row):
                values.setdefault(key, []).append(value.value)
    found = {key: over(each) for key, each in values.items() if len(each) >= FEWEST}
    drop = over(drops) if len(drops) >= FEWEST else None
    named = {"of": rows[0].variant, "seed": seed}
    return rows[0].model_copy(update={**named, "over_seeds": found, "drop_over_seeds": drop})


def _note(seeds: Sequence[int]) -> str:
    return (
        f"Figures of what is trained are means over the seeds {', '.join(map(str, seeds))}, on the same examples, with "
        "the 95 % interval of Student's t; verdicts, fronts and what is shipped are those of the first seed's files."
    )
