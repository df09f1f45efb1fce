import math
import re
from itertools import combinations, pairwise

import pytest

from tasks.report import chart
from tasks.report.chart import BOTTOM, CHARACTER, LABELLED, LEFT, LINE, RIGHT, TOP, Chart, Point, scatter


def point(label: str, cost: float, quality: float, *, on_front: bool = False, group: str = "measured") -> Point:
    return Point(label, cost, quality, quality - 0.01, quality + 0.01, group, False, on_front, False, label)


def positions(chart: Chart) -> dict[str, tuple[float, float]]:
    return {mark.point.label: (mark.x, mark.y) for mark in chart.marks}


@pytest.mark.parametrize("costs", [(1.0, 1.5, 4.0), (0.02, 0.3, 40.0), (0.7, 0.7, 0.7), (1000.0, 4300.0, 2000.0)])
def test_ticks_and_points_lie_on_one_scale(costs: tuple[float, ...]) -> None:
    chart = scatter([point(str(i), cost, 0.9 + i / 100) for i, cost in enumerate(costs)])
    scale = math.log if chart.logarithmic else float
    known = [(t.at, scale(float(t.text.replace(",", "")))) for t in chart.x_ticks]
    assert len(known) >= 2
    (x0, v0), (x1, v1) = known[0], known[-1]
    for x, value in [*known, *((m.x, scale(m.point.cost)) for m in chart.marks)]:
        assert x == pytest.approx(x0 + (x1 - x0) * (value - v0) / (v1 - v0), abs=0.01)
    assert chart.logarithmic == (max(costs) > 5 * min(costs))


def test_the_quality_axis_holds_the_intervals() -> None:
    chart = scatter([point("a", 1, 0.97), point("b", 2, 0.995)])
    ticks = [(t.at, float(t.text)) for t in chart.y_ticks]
    (y0, v0), (y1, v1) = ticks[0], ticks[-1]
    for mark in chart.marks:
        assert mark.y == pytest.approx(y0 + (y1 - y0) * (mark.point.quality - v0) / (v1 - v0), abs=0.01)
        assert TOP - 0.01 <= mark.y_high < mark.y < mark.y_low <= BOTTOM + 0.01
    assert ticks == sorted(ticks, reverse=True)
    steps = [b[1] - a[1] for a, b in pairwise(ticks)]
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_everything_lies_in_the_plot() -> None:
    chart = scatter([point("fast", 0.01, 0.5), point("slow", 1e4, 0.99)])
    for x, y in positions(chart).values():
        assert LEFT <= x <= RIGHT
        assert TOP <= y <= BOTTOM


def test_the_front_is_a_staircase_through_its_points() -> None:
    chart = scatter([point("a", 1, 0.9, on_front=True), point("c", 2, 0.8), point("b", 3, 0.95, on_front=True)])
    at = positions(chart)
    (path,) = chart.fronts
    corners = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", path)]
    expected = [at["a"], (at["b"][0], at["a"][1]), at["b"], (RIGHT, at["b"][1])]
    assert [c for corner in corners for c in corner] == pytest.approx([c for e in expected for c in e], abs=0.06)


def test_each_group_has_a_front_of_its_own() -> None:
    chart = scatter(
        [point("a", 1, 0.9, on_front=True), point("b", 2, 0.8, on_front=True, group="estimated"), point("c", 2, 0.7)]
    )
    assert len(chart.fronts) == 2


def test_labels_keep_clear_of_each_other_and_of_marks() -> None:
    names = ["fp32", "fp16", "dynamic", "int8", "pruned80-int8", "pruned80-clustered16-int8"]
    costs = [0.412, 0.415, 0.287, 0.196, 0.194, 0.1965]  # three of them nearly at one place
    qualities = [0.978, 0.978, 0.975, 0.975, 0.972, 0.974]
    chart = scatter([point(n, c, q) for n, c, q in zip(names, costs, qualities, strict=True)])
    boxes = []
    assert all(mark.labelled for mark in chart.marks)
    for mark in chart.marks:
        width = CHARACTER * len(mark.point.label)
        left = mark.label_x - {"start": 0, "middle": width / 2, "end": width}[mark.anchor]
        boxes.append((left, mark.label_y + 3 - LINE, left + width, mark.label_y + 3))
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for box in boxes:
        for x, y in positions(chart).values():
            assert not (box[0] < x < box[2] and box[1] < y < box[3])


def test_the_work_grows_with_the_points_and_the_front_keeps_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    def looks(n: int) -> int:
        """How many times two boxes are held against each other, with every point on its own place."""
        seen = []
        monkeypatch.setattr(chart, "_overlap", lambda a, b: seen.append(1) or overlap(a, b))
        monkeypatch.setattr(chart, "_within", lambda reach, boxes: seen.extend(boxes) or within(reach, boxes))
        points = [point(f"v{i}", 1 + i * 37 % n, 0.5 + i / n / 4, on_front=i % (n // 10) == 0) for i in range(n)]
        drawn = scatter(points)
        assert all(mark.labelled for mark in drawn.marks if mark.point.on_front)
        assert sum(mark.labelled for mark in drawn.marks) == LABELLED
        return len(seen)

    overlap, within = chart._overlap, chart._within
    few, many = looks(100), looks(800)
    assert many <= 8 * few  # in proportion; each against each would be 64 times
