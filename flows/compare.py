"""`tercet compare`: the last comparison, or a part of it, sorted, as data, or beside what a revision had of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from tasks import paths, records
from tasks.errors import DataError, WordsError, suggest
from tasks.records import Comparison, Row
from tasks.records.figures import FIGURES, Figure, Value, judged
from tasks.report import changes, tables
from tasks.report.advice import Advised
from tasks.report.seeds import apart
from tasks.scratch import scratch
from tasks.ship import speed

TABLE = paths.REPORT / "comparison.json"
Form = Literal["table", "json", "csv"]


@dataclass(frozen=True)
class Asked:
    """What is asked of the comparison.

    Attributes:
        variants: patterns of their names, as of files (`pruned*`); none: all.
        devices: likewise.
        sort: the key of a figure, by which the rows of a device stand, the best first; None: as in params.yaml.
        against: a revision of git; None: the figures themselves.
        form: of what is printed.
        seeds: whether each seed's rows are, instead of their means.
    """

    variants: Sequence[str] = ()
    devices: Sequence[str] = ()
    sort: str | None = None
    against: str | None = None
    form: Form = "table"
    seeds: bool = False


def compare(asked: Asked) -> None:
    """Print it.

    Raises:
        DataError: nothing has run yet, or nothing had at the revision.
        WordsError: a pattern fits nothing, there is no such figure or revision, or both of these are asked for.
    """
    if asked.sort is not None and asked.against is not None:
        raise WordsError("--sort and --against: one of them alone")
    whole = records.read(Comparison, TABLE)
    chosen = choose(apart(whole) if asked.seeds else whole, asked)
    if asked.against is not None:
        _tell_changes(asked.against, choose(then(asked.against), asked, fits=False), chosen, asked.form)
    elif asked.form == "table":
        from flows.views.show import show

        advised = records.read(Advised, paths.REPORT / "advice.json")
        kept = {row.device for row in chosen.rows} if asked.devices else {each.device for each in advised.devices}
        kept_advice = tuple(each for each in advised.devices if each.device in kept)
        show(chosen, advised.model_copy(update={"devices": kept_advice}), whole)
    else:
        print(chosen.model_dump_json(indent=2) if asked.form == "json" else tables.pairs(chosen).rstrip())


def choose(comparison: Comparison, asked: Asked, *, fits: bool = True) -> Comparison:
    """The rows that are asked for, in the order that is.

    What failed is told of the whole comparison alone.

    Args:
        comparison: of all.
        asked: see there.
        fits: whether a pattern has to fit something.

    Raises:
        WordsError: a pattern fits nothing, or there is no such figure.
    """
    for what, patterns, names in (
        ("VARIANT", asked.variants, dict.fromkeys(row.variant for row in comparison.rows)),
        ("--device", asked.devices, dict.fromkeys(row.device for row in comparison.rows)),
    ):
        for pattern in patterns:
            if fits and not any(fnmatchcase(name, pattern) for name in names):
                raise WordsError(f"{what}: received {pattern!r}, of which there are none; {suggest(pattern, names)}")
    if not (asked.variants or asked.devices or asked.sort is not None):
        return comparison
    rows = tuple(row for row in comparison.rows if _is_asked(row, asked))
    left_out: dict[str, tuple[Any, ...]] = {} if len(rows) == len(comparison.rows) else {"failures": (), "refused": ()}
    kept = {(row.variant, row.device) for row in rows}
    left_out |= {"replicas": tuple(row for row in comparison.replicas if (row.of, row.device) in kept)}
    return comparison.model_copy(update={"rows": tuple(_sorted(rows, comparison.replicas, asked.sort)), **left_out})


def then(revision: str) -> Comparison:
    """The comparison as it was at a revision of git.

    Raises:
        WordsError: git knows no such revision.
        DataError: there was none, or it is nowhere any more.
    """
    from flows.start import revision as revisions

    with scratch("compare") as folder, revisions.at(revision) as found:
        if found is None:
            raise WordsError(f"--against: received {revision!r}; a revision of git is expected, such as HEAD~1 or main")
        if not found.holds(TABLE):
            raise DataError(f"{revision}: dvc.lock there knows no {paths.REPORT}; was it committed after `tercet run`?")
        return records.read(Comparison, found.fetch(TABLE, Path(folder) / TABLE.name))


def _is_asked(row: Row, asked: Asked) -> bool:
    return all(
        not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
        for name, patterns in ((row.variant, asked.variants), (row.device, asked.devices))
    )


def _sorted(rows: Sequence[Row], further: Sequence[Row], key: str | None) -> Iterator[Row]:
    """The rows of each device, the best first, as all choices compare them; those of the most trusted source first.

    What is shown of several seeds is a mean, so it is what is sorted by.
    """
    if key is None:
        yield from rows
        return
    if key not in FIGURES:
        raise WordsError(f"--sort: received {key!r}; {suggest(key, FIGURES)}")
    for device in dict.fromkeys(row.device for row in rows):
        there = ([row for row in each if row.device == device] for each in (rows, further))
        yield from _by(FIGURES[key], *there)


def _by(figure: Figure, rows: Sequence[Row], further: Sequence[Row]) -> list[Row]:
    """The rows of one device; `further`: those of other seeds, each beside what its own seed has."""
    own = judged(figure, rows[0].metric, rows[0].unit, rows[0].better)

    def cost(row: Row) -> Value | None:
        return speed.cost(row, [each for each in (*rows, *further) if each.seed in (None, row.seed)], own)

    def place(row: Row) -> tuple[object, ...]:
        first = cost(row)
        if first is None:
            return (1,)
        others = (value for each in further if each.of == row.variant if (value := cost(each)))
        mean = fmean([first.value, *(value.value for value in others if value.origin == first.origin)])
        return (0, speed.trust(first), mean if own.better == "lower" else -mean)

    return sorted(rows, key=place)


def _tell_changes(revision: str, before: Comparison, now: Comparison, form: Form) -> None:
    found = list(changes.between(before, now))
    if form == "table":
        from flows.views.changes import show

        show(revision, found)
    elif form == "json":
        print(changes.as_json(found))
    else:
        print(changes.as_csv(found).rstrip())
