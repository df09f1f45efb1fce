"""What a report says of its own figures: when they were taken, by what, and what is shipped takes for what."""

import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from tasks import paths
from tasks.files import sha256
from tasks.params import Params
from tasks.records import ClassFigures, Comparison, Evaluation, Measurement, read
from tasks.report import matrix
from tasks.report.about import about
from tasks.report.advice import Advised, advise
from tasks.stages.report import report


def put(at: str) -> int:
    return int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp() * 1000)


def rewrite(kind: type, path: Path, **changes: object) -> None:
    read(kind, path).model_copy(update=changes).save(path)


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("0123456789abcdef" * 2, " The project was at revision 0123456789ab."),
        (
            "0123456789abcdef" * 2 + "-dirty",
            " The project was at revision 0123456789ab, with changes that were not committed.",
        ),
        (None, ""),
    ],
)
def test_the_revision_is_told_where_there_is_one(
    comparison: Comparison, params: Params, revision: str | None, said: str
) -> None:
    without = about(params, comparison, (), None)
    assert about(params, comparison, (), None, revision) == without + said


def test_the_page_says_when_and_by_what_and_never_by_the_clock(
    study: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    (paths.DATA / "card.json").write_text("{}")
    pairs = {"fp32@host-cpu": ("2026-01-31T23:58", "2026-01-31T23:59"), "int8@host-cpu": ("2026-02-01T00:00",) * 2}
    for name, (began, ended) in pairs.items():
        rewrite(Measurement, paths.BENCHMARKS / f"{name}.json", began_ms=put(began), ended_ms=put(ended))
    report(params)
    page = paths.REPORT / "index.html"
    before = page.read_bytes()
    said = re.search(r'<p class="about">(.*?)</p>', page.read_text())[1]  # type: ignore[index]
    assert f"Data: digits (card.json {sha256(paths.DATA / 'card.json')[:12]})" in said
    assert "Figures taken from 2026-01-31 23:58 to 2026-02-01 00:00 UTC." in said
    assert said.endswith("Files made by test; quality by LiteRT 2.3.0.")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        elsewhere.setattr(time, "time", lambda: 0.0)
        time.tzset()
        report(params)
    time.tzset()
    assert page.read_bytes() == before


def test_examples_are_counted_by_a_variant_that_answered(comparison: Comparison, params: Params) -> None:
    first, *others = comparison.rows
    refused = first.model_copy(update={"quality": None, "quality_n": 0, "validation_n": None})
    said = about(params, comparison.model_copy(update={"rows": (refused, *others)}), (), None)
    assert said == about(params, comparison, (), None)
    assert ", 360 test and 140 validation examples;" in said
    nobody = about(params, comparison.model_copy(update={"rows": (refused,)}), (), None)
    assert nobody == "Data: digits, split by seed 0; trained by seed 0."


def test_what_no_record_has_is_left_out(study: Path, params: Params) -> None:
    report(params)
    said = (paths.REPORT / "index.html").read_text()
    assert "Figures taken" not in said
    assert "card.json <" not in said
    assert "Data: digits, split" in said


def test_the_matrices_of_what_is_shipped_count_what_was_answered(study: Path, params: Params) -> None:
    for variant in params.quantize:
        path = paths.evaluation(variant)
        first, *others = read(Evaluation, path).classes
        rewrite(Evaluation, path, classes=(first.model_copy(update={"name": "<b>zero</b>"}), *others))
    report(params)
    advised = read(Advised, paths.REPORT / "advice.json")
    chosen = [each.choice.champion for each in advised.devices if each.choice]
    html = (paths.REPORT / "index.html").read_text()
    found = re.findall(r"<summary>Which class (\S+) takes for which.*?<tbody>(.*?)</tbody>", html, re.DOTALL)
    assert [variant for variant, _ in found] == list(dict.fromkeys(chosen))
    labels = np.load(paths.DATA / "test/targets.label.npy")
    for variant, body in found:
        test = next(s for s in read(Evaluation, paths.evaluation(variant)).scores if s.split == "test")
        counted = Counter(zip(labels.tolist(), test.predictions, strict=True))
        cells = [[int(n) for n in re.findall(r">(\d+)</td>", row)] for row in re.findall(r"<tr>.*?</tr>", body)]
        assert cells == [[counted[true, told] for told in range(10)] for true in range(10)]
        assert "&lt;b&gt;zero&lt;/b&gt;" in body
        assert f"--share: {counted[0, 0] / (labels == 0).sum():.2f}" in body


def test_a_matrix_says_of_each_class_how_much_is_right_and_its_area(study: Path, params: Params) -> None:
    recalls, areas = [0.25, None, *[1.0] * 8], [0.987654, None, *[1.0] * 8]
    for variant in params.quantize:
        path = paths.evaluation(variant)
        known = zip(read(Evaluation, path).classes, recalls, areas, strict=True)
        changed = tuple(each.model_copy(update={"recall": recall, "auc": area}) for each, recall, area in known)
        rewrite(Evaluation, path, classes=changed)
    report(params)
    html = (paths.REPORT / "index.html").read_text()
    table = re.search(r"<div class=\"card matrix.*?</table>", html, re.DOTALL)
    assert table
    assert re.findall(r"<th scope=\"col\">(\w+)</th>", table[0])[-2:] == ["right", "AUC"]
    ends = [
        re.findall(r">([^<]*)</td>", row)[-2:]
        for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", table[0], re.DOTALL)
    ]
    assert ends == [["25.0%", "0.988"], ["–", "–"], *[["100.0%", "1.000"]] * 8]


@pytest.mark.parametrize(("classes", "shown"), [(0, False), (2, True), (30, True), (31, False)])
def test_a_matrix_that_nobody_could_read_is_not_shown(
    classes: int, shown: bool, study: Path, params: Params, comparison: Comparison
) -> None:
    rows = tuple(map(tuple, np.eye(classes, dtype=int).tolist()))
    told = tuple(ClassFigures(name=f"class {i}", n=1, precision=1, recall=1) for i in range(classes))
    known = [read(Evaluation, paths.evaluation(variant)) for variant in params.quantize]
    made = [each.model_copy(update={"classes": told, "confusion": rows}) for each in known]
    assert bool(matrix.matrices(advise(comparison, params), made)) == shown
