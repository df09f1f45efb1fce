"""What is other between two comparisons of a project, figure by figure. Pure.

Two runs are not taken in turns: a figure that is measured counts as changed only where the intervals of both leave no
doubt, and one without an interval never. What is made of others is no surer than they are. `tercet gate` measures both
by turns.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Literal

from tasks.records import Comparison, Row
from tasks.records.figures import FIGURES, Figure, Value, judged
from tasks.ship import speed

Word = Literal["better", "worse", "not told apart", "other source", "other prices", "new", "gone"]


@dataclass(frozen=True)
class Change:
    """One figure of a pair that is not what it was.

    Attributes:
        before: null where there was none.
        now: null where there is none any more.
        word: better or worse, by the figure's own way; what cannot be compared says why.
    """

    device: str
    variant: str
    figure: str
    before: Value | None
    now: Value | None
    word: Word

    @property
    def growth(self) -> float | None:
        """By which share it grew; null where that says nothing."""
        if self.before is None or self.now is None or not self.before.value:
            return None
        return self.now.value / self.before.value - 1


def between(before: Comparison, now: Comparison) -> Iterator[Change]:
    """What is other, pair by pair as they stand now, then those that are gone.

    A pair that came or went is one change, of its quality.
    """
    then = {(row.device, row.variant): row for row in before.rows}
    today = {(row.device, row.variant): row for row in now.rows}
    for pair, row in {**today, **then}.items():
        if pair in then and pair in today:
            yield from _of_pair(then[pair], today[pair])
        else:
            quality = FIGURES["quality"].of(row)
            if pair in today:
                yield Change(row.device, row.variant, "quality", None, quality, "new")
            else:
                yield Change(row.device, row.variant, "quality", quality, None, "gone")


def _of_pair(then: Row, today: Row) -> Iterator[Change]:
    same = then.metric == today.metric
    for key, figure in FIGURES.items():
        if key == "quality" and not same:
            continue
        own = judged(figure, today.metric, today.unit, today.better)
        was, found = own.of(then), own.of(today)
        if was != found and (word := _word(own, then, today)):
            yield Change(today.device, today.variant, key, was, found, word)


def _word(figure: Figure, then: Row, today: Row) -> Word | None:
    """Null where only what stands around the figure is other."""
    was, now = figure.of(then), figure.of(today)
    if was is None or now is None:
        return "new" if was is None else "gone"
    parts = [(FIGURES[key], FIGURES[key].of(then), FIGURES[key].of(today)) for key in _parts(figure, then, today)]
    if was.source != now.source or any((a and a.source) != (b and b.source) for _, a, b in parts):
        return "other source"
    if figure.made_of is not None and then.rates != today.rates:
        return "other prices"
    if was.value == now.value:
        return None
    # a sum is no surer than what it is of
    if not all(_sure(each, a, b) for each, a, b in [(figure, was, now), *parts] if a and b and a.value != b.value):
        return "not told apart"
    return "better" if (now.value < was.value) == (figure.better == "lower") else "worse"


def _parts(figure: Figure, *rows: Row) -> set[str]:
    """The keys of what a figure is made of in any of the rows."""
    found: set[str] = set()
    if figure.made_of is None:
        return found

    def known(row: Row, key: str) -> Value | None:
        if value := FIGURES[key].of(row):
            found.add(key)
        return value

    for row in rows:
        figure.made_of(row, partial(known, row))
    return found


def _sure(figure: Figure, was: Value, now: Value) -> bool:
    """Whether the two differ for sure: sizes and estimates are what they are, all else has to say how sure it is.

    An estimate from CPU time is as noisy as that, and its bounds are not of the noise, so they must not meet. Nor must
    those of estimates that were fitted to other figures each.
    """
    noisy = now.provenance != "estimated" or now.source == "estimate_cpu_time"
    if figure.scope == "file" or not (noisy or was.unknown != now.unknown):
        return True
    bounded = None not in (was.low, was.high, now.low, now.high)
    return bounded and not speed.tied(*(replace(each, unknown=None) for each in (was, now)))


def as_json(found: Sequence[Change]) -> str:
    """A list of objects; a value is null, or an object with its bounds and its source."""
    return json.dumps([{**asdict(each), "growth": each.growth} for each in found], indent=2)


def as_csv(found: Sequence[Change]) -> str:
    """A line for each change."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["device", "variant", "figure", "before", "now", "source_before", "source_now", "growth", "word"])
    for each in found:
        values = [value and value.value for value in (each.before, each.now)]
        sources = [value and value.source for value in (each.before, each.now)]
        writer.writerow([each.device, each.variant, each.figure, *values, *sources, each.growth, each.word])
    return text.getvalue()
