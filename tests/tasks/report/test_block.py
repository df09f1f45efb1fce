"""What the page's scripts are given, against the comparison that it is of."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.records import Comparison, Subject
from tasks.records.artifacts import Layer, Tensor
from tasks.records.figures import drawn, known, told
from tasks.report import compare, page
from tasks.report.block import block
from tasks.report.tree import Node, tree
from tasks.ship import speed
from tests.phases import changed


@pytest.fixture(scope="module")
def found(comparison: Comparison) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(block(comparison, ()))
    return loaded


def test_every_figure_of_a_pair_that_ran_is_there_with_its_ends(found: dict[str, Any], comparison: Comparison) -> None:
    assert [figure["key"] for figure in found["figures"]] == [figure.key for figure in told(comparison.rows)]
    for written, row in zip(found["rows"], comparison.rows, strict=True):
        assert (written["variant"], written["device"]) == (row.variant, row.device)
        if row.measurement.status == "ok":
            values = {key: (value.value, *value.ends) for key, value in known(row).items()}
            assert {key: each[:3] for key, each in written["figures"].items()} == {
                key: pytest.approx(each, rel=1e-5) for key, each in values.items()
            }
            assert {key: each[4] for key, each in written["figures"].items()} == {
                key: value.provenance for key, value in known(row).items()
            }


def test_charts_stand_on_what_choices_compare_and_fronts_are_the_rows(
    found: dict[str, Any], comparison: Comparison
) -> None:
    by_device = compare.by_device(comparison.rows)
    for written, row in zip(found["rows"], comparison.rows, strict=True):
        for figure in drawn():
            cost = speed.cost(row, by_device[row.device], figure)
            at = written["costs"].get(figure.key) or written["figures"].get(figure.key)
            assert (cost is None) == (at is None), (row.variant, row.device, figure.key)
            assert cost is None or at[0] == pytest.approx(cost.value, rel=1e-5)
        assert set(row.fronts) == set(written["fronts"]) & {figure.key for figure in drawn()}


def test_a_slow_moment_moves_no_point(make: SimpleNamespace) -> None:
    """Of windows by turns the chart shows the ratio times the reference's level, the table what was read."""
    own = make.on_host("int8", "host-cpu")
    slow = changed(own, latency=own.latency.model_copy(update={"ms_p50": 2 * own.latency.ms_p50}))
    rows = json.loads(block(make.comparison([make.on_host("fp32", "host-cpu"), slow]), ()))["rows"]
    row = next(row for row in rows if row["variant"] == "int8")
    assert row["figures"]["latency_ms"][0] == pytest.approx(2 * 0.196)
    assert row["costs"]["latency_ms"][0] == pytest.approx(0.196)


def test_on_the_front_of_sizes_nothing_smaller_is_as_good(found: dict[str, Any], comparison: Comparison) -> None:
    for rows in compare.by_device(comparison.rows).values():
        ran = [row for row in rows if row.measurement.status == "ok"]
        best = {
            row.variant
            for row in ran
            if not any(
                (o.gzip_bytes < row.gzip_bytes and o.worth >= row.worth)
                or (o.gzip_bytes <= row.gzip_bytes and o.worth > row.worth)
                for o in ran
            )
        }
        device = rows[0].device
        assert best == {r["variant"] for r in found["rows"] if r["device"] == device and "gzip_bytes" in r["fronts"]}


def test_a_pair_that_does_not_count_is_drawn_where_it_was_seen_and_is_on_no_front(make: SimpleNamespace) -> None:
    seen = make.on_host("int8", "host-cpu").model_copy(update={"status": "invalid", "reason": "too busy"})
    rows = json.loads(block(make.comparison([make.on_host("fp32", "host-cpu"), seen]), ()))["rows"]
    invalid = next(row for row in rows if row["variant"] == "int8")
    assert invalid["figures"]["latency_ms"][0] == 0.196
    assert invalid["verdict"] == "Invalid: too busy."
    assert invalid["fronts"] == []
    assert [row["fronts"] != [] for row in rows if row["variant"] == "fp32"] == [True]


def test_nothing_in_the_block_ends_its_element(make: SimpleNamespace) -> None:
    hostile = make.measurement("int8", "host-cpu", status="error", reason="</script><!--")
    text = block(make.comparison([hostile]), ())
    assert "<" not in text
    assert json.loads(text)["rows"][0]["verdict"] == "Failed: </script><!--."


def test_the_tree_has_each_model_under_its_parent_with_what_its_step_gave(make: SimpleNamespace) -> None:
    def subject(variant: str, **changes: Any) -> Subject:
        made: Subject = make.subject(variant)
        return made.model_copy(update={"model": made.model.model_copy(update=changes)})

    subjects = [
        subject("fp32"), subject("int8"), subject("pruned80-int8"),
        subject("pruned80-clustered16-int8", parent="pruned80"),
    ]  # fmt: skip
    (top,) = tree(subjects)

    def names(node: Node) -> tuple[str, tuple[Any, ...]]:
        return node.model, tuple(map(names, node.children))

    assert names(top) == ("baseline", (("pruned80", (("pruned80-clustered16", ()),)),))
    (pruned,) = top.children
    assert pruned.cost == "prune, 5 epochs"
    assert pruned.gave == ("pruned80-int8: accuracy 97.2 % (−0.3 points), 2.83× smaller under gzip than int8",)
    assert tree([subject("pruned80-int8")])[0].gave == ("pruned80-int8: accuracy 97.2 %, 96.0 kB under gzip",)


def test_the_tree_tells_what_goes_in_and_what_is_left_of_each_kernel(
    comparison: Comparison, make: SimpleNamespace
) -> None:
    made: Subject = make.subject("pruned80-int8")
    image = Tensor(name="image", shape=(28, 28, 1), dtype="int8")
    layers = (Layer(name="<conv>", parameters=1_440, sparsity=0.8, unique_values=17),)
    subject = made.model_copy(
        update={
            "artifact": made.artifact.model_copy(update={"inputs": (image,)}),
            "model": made.model.model_copy(update={"layers": layers}),
        }
    )
    (node,) = tree([subject])
    assert node.facts == "image of 28 × 28 × 1, 330,000 parameters, 80 % of the kernels zeros"
    text = page.render(comparison, subjects=[subject])
    row = text[text.index("&lt;conv&gt;") :]
    assert [row.index(each) for each in ("1,440", "80.0 %", ">17<")] == sorted(
        map(row.index, ("1,440", "80.0 %", ">17<"))
    )
    assert row.index(">17<") < row.index("</tr>")
