"""A comparison by an error of values: everything that shows or chooses goes by the metric's direction and unit."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tasks.examples import Arrays
from tasks.params import Budget, Params, Search
from tasks.quality.score import score
from tasks.records import Comparison, Subject
from tasks.report import advice, compare, page
from tasks.report.block import block
from tasks.search.front import Aims
from tasks.ship import champion

N = 200
VARIANTS = ("fp32", "int8", "dynamic")  # of which int8 is the fastest on the host
NOISE = {"fp32": 2.0, "int8": 2.6, "dynamic": 2.02}


def judged(subject: Subject) -> Subject:
    """The same, with answers that lie so far from the true values."""
    truth, rng = np.zeros(N, np.float32), np.random.default_rng(0)
    answers = (NOISE[subject.variant] * np.resize([1.0, -1.0], N) * (1 + 0.1 * rng.normal(size=N)))[:, None]
    examples = Arrays({"x": truth[:, None]}, {"label": truth})
    scores = tuple(score(answers.astype(np.float32), examples, "default", s, "rmse") for s in ("validation", "test"))
    evaluation = subject.evaluation.model_copy(update={"scores": scores, "classes": (), "confusion": (), "naive": 2.3})
    return subject.model_copy(update={"evaluation": evaluation})


@pytest.fixture
def errors(make: SimpleNamespace) -> Comparison:
    measured = [make.on_host(variant, "host-cpu") for variant in VARIANTS]
    return compare.build(
        "prices", "fp32", [judged(make.subject(v)) for v in VARIANTS], measured, np.zeros(N), np.zeros(N)
    )


def test_rows_say_what_quality_is_and_which_way_is_better(errors: Comparison) -> None:
    for row in errors.rows:
        assert (row.metric, row.unit, row.better) == ("rmse", "", "lower")
        assert row.quality == pytest.approx(NOISE[row.variant], rel=0.02)
        assert row.quality_low < row.quality < row.quality_high
    assert errors.notes[0] == "int8: rmse 2.62 is no better than always the same answer, which gives 2.30."
    assert all("latency_ms" in row.fronts for row in errors.rows)  # the slower, the nearer to the truth


def test_a_small_rise_that_layers_were_left_out_for_is_no_zero(make: SimpleNamespace) -> None:
    subject = judged(make.subject("int8"))
    card = {"excluded": ("a",), "allowed_drop": 2e-5, "validation_drop": 3.2e-5}
    small = subject.model_copy(update={"artifact": subject.artifact.model_copy(update=card)})
    (note, *_) = compare.build("prices", "fp32", [small], [], None).notes
    assert note.endswith("It lies 0.0000320 above float32 on validation data, not within the 2e-05 asked for.")


def test_a_verdict_tells_a_rise_as_worse(errors: Comparison) -> None:
    _, int8, dynamic = (row.verdict for row in errors.rows)
    assert "rmse +0.604, worse (p < 0.001" in int8
    assert "rmse +0.0201, worse (p < 0.001" in dynamic
    assert "points" not in int8


def test_a_budget_bounds_how_far_above_the_reference_an_error_is(errors: Comparison) -> None:
    def chosen(drop: float) -> champion.Choice:
        return champion.select(errors, "host-cpu", Budget(max_quality_drop=drop))

    assert chosen(1.0).champion == "int8"
    assert chosen(0.1).champion == "dynamic"
    assert chosen(0.0).champion == "fp32"
    assert chosen(0.1).doubts == ()
    (doubt,) = chosen(0.0205).doubts
    assert doubt.startswith("a rise of rmse within 0.0205 is not distinguishable from one beyond it: 200 validation")


def test_the_page_and_the_advice_are_in_the_units_of_the_target(errors: Comparison, params: Params) -> None:
    changed = params.model_copy(update={"benchmark": params.benchmark.model_copy(update={"devices": ("host-cpu",)})})
    advised = advice.advise(errors, changed)
    told = advice.words(advised.devices[0], errors)
    assert "rmse +0.0201 on 200 validation examples, at most 0.02" in told[1]
    assert "higher (95 %)" in told[1]
    html = page.render(errors, advised)
    assert "the lower the better" in html
    assert "in percent" not in html
    assert "a paired bootstrap" in html
    found = json.loads(block(errors, ()))
    quality = found["figures"][0]
    assert (quality["name"], quality["unit"], quality["lower"], quality["per"]) == ("Rmse", "", True, 1)
    assert {row["variant"]: row["figures"]["quality"][0] for row in found["rows"]} == {
        row.variant: pytest.approx(row.quality, rel=1e-5) for row in errors.rows
    }


def test_a_search_minimizes_an_error_and_takes_goals_in_its_unit() -> None:
    wanted = [{"of": "quality"}, {"of": "gzip_bytes"}]

    def aims(**goal: float) -> Aims:
        search = Search.model_validate({"objectives": wanted, "goals": [{"of": "quality", **goal}]})
        return Aims(search, "fp32", {"quality": 2.0}, "rmse")

    assert aims(max=2.5).losses({"quality": 2.2, "gzip_bytes": 7.0}) == (2.2, 7.0)
    (distance,) = aims(max_drop=0.1).distances({"quality": 2.2})
    assert distance.goal == "quality at most 0.1 above fp32 (2.1000)"
    assert (distance.beyond, distance.share) == (pytest.approx(0.1), pytest.approx(1.0))
    assert not aims(max=2.5).violation({"quality": 2.4})
    assert aims(max=2.5).violation({"quality": 2.6}) == pytest.approx(0.2)  # of the 0.5 that is allowed


def test_a_goal_that_no_error_is_too_small_for_is_refused(params: Params) -> None:
    def given(metric: str | None, **goal: float) -> Params:
        search = {"objectives": [{"of": "quality"}, {"of": "bytes"}], "goals": [{"of": "quality", **goal}]}
        values = {**params.known(), "evaluate": {"metric": metric}, "search": search}
        if metric == "rmse":
            values["prepare"] = {"source": "npz", "path": ".", "task": "regression"}
        return Params.model_validate(values)

    given("rmse", max=2.0)
    given(None, min=0.9)
    with pytest.raises(ValueError, match="a goal of quality has max or max_drop; received min"):
        given("rmse", min=2.0)
    with pytest.raises(ValueError, match="a goal of quality has min or max_drop; received max"):
        given(None, max=0.9)
