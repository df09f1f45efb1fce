"""The geometry of a scatter chart: scales, ticks, the front's steps, and labels that keep out of each other's way.

Pure; the unit is the SVG user unit, the origin is at the top left, and the page's template draws what comes out.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tasks.records import notation

WIDTH, HEIGHT = 460.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 446.0, 14.0, 254.0  # of the plot's area
CHARACTER, LINE = 6.3, 13.0  # of a label: the widest usual character, the height
LOG_FROM = 5.0  # a wider range of costs than this gets a logarithmic axis
MARK = 6.0  # half a mark's width, with some air
LABELLED = 40  # of a chart's points, the front's first: more labels lie on each other, and each has its title on hover
REACH = 80.0  # how far from its mark a label may lie, up or down
Box = tuple[float, float, float, float]  # left, top, right, bottom
Bar = tuple[float, float, float]  # an error bar: x, y of its low and of its high end


@dataclass(frozen=True)
class Point:
    """One variant to draw."""

    label: str
    cost: float  # x, above 0
    quality: float  # y, as it is written, with its 95 % interval
    low: float
    high: float
    group: str  # points of different groups share no front
    hollow: bool  # an estimate
    on_front: bool
    reference: bool
    title: str  # shown on hover


@dataclass(frozen=True)
class Tick:
    """A place on an axis and what is written there."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A placed point with its error bar and its label."""

    point: Point
    x: float
    y: float
    y_low: float
    y_high: float
    labelled: bool
    label_x: float
    label_y: float  # the baseline of the text
    anchor: str  # SVG's text-anchor
    leader: tuple[float, float] | None  # where a thin line from a far label to the mark begins


@dataclass(frozen=True)
class Chart:
    """Everything a template needs to draw."""

    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    logarithmic: bool
    fronts: tuple[str, ...]  # SVG paths
    marks: tuple[Mark, ...]  # in the order of drawing: the front above the rest, the reference above all


Placed = tuple[float, float, Point]  # x, y
Place = tuple[Box, str, bool]  # of a label, its text's anchor, and whether it is so far that it needs a leader


def scatter(points: Sequence[Point]) -> Chart:
    """Lay out quality (upwards) against cost (to the right) for at least one point."""
    costs = [point.cost for point in points]
    logarithmic = max(costs) > LOG_FROM * min(costs)
    x_values = _log_ticks(min(costs), max(costs)) if logarithmic else _linear_ticks(0.0, 1.12 * max(costs), 6)
    x_low, x_high = (min(costs) / 1.3, max(costs) * 1.5) if logarithmic else (0.0, 1.12 * max(costs))
    y_values = _linear_ticks(min(p.low for p in points), max(p.high for p in points), 5)
    y_low, y_high = y_values[0], y_values[-1]

    def x(cost: float) -> float:
        at, low, high = (math.log(v) if logarithmic else v for v in (cost, x_low, x_high))
        return LEFT + (RIGHT - LEFT) * (at - low) / (high - low)

    def y(quality: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (quality - y_low) / (y_high - y_low)

    placed = [(x(p.cost), y(p.quality), p) for p in points]
    bars = [(x(p.cost), y(p.low), y(p.high)) for p in points]
    fronts = list(_steps(placed))
    labels = _label(placed, list(_lines(bars, fronts)))
    marks = [_mark(*drawn) for drawn in zip(placed, bars, labels, strict=True)]
    return Chart(
        x_ticks=tuple(
            Tick(x(v), text) for v, text in _texts(x_values, logarithmic=logarithmic) if x_low <= v <= x_high
        ),
        y_ticks=tuple(Tick(y(v), text) for v, text in _texts(y_values, logarithmic=False)),
        logarithmic=logarithmic,
        fronts=tuple(_path(corners) for corners in fronts),
        marks=tuple(sorted(marks, key=lambda mark: (mark.point.reference, mark.point.on_front))),
    )


def _mark(placed: Placed, bar: Bar, label: Place | None) -> Mark:
    x, y, point = placed
    if label is None:
        return Mark(point, x, y, bar[1], bar[2], labelled=False, label_x=x, label_y=y, anchor="start", leader=None)
    (left, top, right, bottom), anchor, far = label
    label_x = {"start": left, "middle": (left + right) / 2, "end": right}[anchor]
    leader = (label_x, (top + bottom) / 2) if far else None
    at = {"label_x": label_x, "label_y": bottom - 3}
    return Mark(point, x, y, bar[1], bar[2], labelled=True, anchor=anchor, leader=leader, **at)


def _linear_ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers at even steps of 1, 2 or 5 times a power of ten, from at or below `low` to at or above `high`."""
    rough = max(high - low, 1e-9 * max(abs(high), 1.0)) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten around the range; the powers alone where that is too many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    return [m * 10.0**k for k in powers for m in steps]


def _texts(ticks: Sequence[float], *, logarithmic: bool) -> Iterator[tuple[float, str]]:
    """Each tick with its text: on a linear axis as many decimals as the step needs, otherwise as many as the tick."""
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    for tick in ticks:
        yield tick, notation.significant(tick, 1) if logarithmic else f"{tick:,.{decimals}f}"


def _steps(placed: Sequence[Placed]) -> Iterator[list[tuple[float, float]]]:
    """For each group the best quality within a cost: the corners of a staircase that runs on to the right edge."""
    for group in dict.fromkeys(point.group for _, _, point in placed):
        best = sorted({(x, y) for x, y, point in placed if point.group == group and point.on_front})
        if best:
            corners = [best[0]]
            for x, y in best[1:]:
                corners += [(x, corners[-1][1]), (x, y)]
            yield [*corners, (RIGHT, corners[-1][1])]


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)


def _lines(bars: Sequence[Bar], fronts: Sequence[Sequence[tuple[float, float]]]) -> Iterator[Box]:
    """What labels had better not lie on: error bars and the fronts' steps, each as a thin box."""
    segments = [((x, low), (x, high)) for x, low, high in bars]
    segments += [pair for corners in fronts for pair in pairwise(corners)]
    for (x1, y1), (x2, y2) in segments:
        yield min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1


def _label(placed: Sequence[Placed], lines: Sequence[Box]) -> list[Place | None]:
    """A place for each label, the reference's and the front's first: free if it can be, and near to its mark.

    The work grows with the number of points, not with its square: so many have a label, and each looks once at all
    that is drawn, for what lies within its reach.
    """
    taken: list[Box] = [(x - MARK, y - MARK, x + MARK, y + MARK) for x, y, _ in placed]
    places: list[Place | None] = [None] * len(placed)
    order = sorted(
        range(len(placed)), key=lambda i: (not placed[i][2].reference, not placed[i][2].on_front, placed[i][0])
    )
    for i in order[:LABELLED]:
        x, y, point = placed[i]
        width = CHARACTER * len(point.label) + 9
        reach = (x - width, y - REACH, x + width, y + REACH)
        near, nearby = _within(reach, taken), _within(reach, lines)
        costs = {place: _cost(place[0], y, near, nearby) for place in _places(x, y, len(point.label))}
        place = min(costs, key=lambda place: costs[place])
        places[i] = place
        taken.append(place[0])
    return places


def _within(reach: Box, boxes: Sequence[Box]) -> list[Box]:
    """The boxes that a label within `reach` could lie on."""
    left, top, right, bottom = reach
    return [box for box in boxes if box[0] < right and box[2] > left and box[1] < bottom and box[3] > top]


def _places(x: float, y: float, characters: int) -> Iterator[Place]:
    """Boxes for a label around its mark, the text's anchor, and whether it is so far that it needs a leader."""
    width = CHARACTER * characters
    for dy in (0.0, -14.0, 14.0, -28.0, 28.0, -42.0, 42.0, -56.0, 56.0, -70.0, 70.0):
        top, far = y + dy - LINE / 2, abs(dy) > 14
        yield (x + 9, top, x + 9 + width, top + LINE), "start", far
        yield (x - 9 - width, top, x - 9, top + LINE), "end", far
        if dy and not far:
            yield (x - width / 2, top, x + width / 2, top + LINE), "middle", False


def _cost(box: Box, y: float, taken: Sequence[Box], lines: Sequence[Box]) -> float:
    """What is wrong with a label's box: leaving the plot, covering marks, labels or lines, being far from its mark."""
    outside = (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, (LEFT + 2, TOP - 8, WIDTH, BOTTOM - 2))
    covered = 10 * sum(_overlap(box, other) for other in taken) + 0.7 * sum(_overlap(box, line) for line in lines)
    return 20 * outside + covered + abs((box[1] + box[3]) / 2 - y)


def _overlap(a: Box, b: Box) -> float:
    if (
        a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
    ):  # which most are, and it is asked millions of times
        return 0.0
    return (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
