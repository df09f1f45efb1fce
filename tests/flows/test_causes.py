"""Whatever stage breaks, a run says that first: the flow and its server are real, what the stages make is not."""

import re
import shutil
from pathlib import Path
from urllib.error import URLError

import pytest
import yaml
from prefect import flow as prefect_flow
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from flows import pipeline, stages, stale, trials
from tasks import params, paths
from tasks.errors import ConversionError, DataError, DeviceError, InvalidError, TercetError
from tasks.records import failures
from tasks.stages import STAGES, report
from tests.bridge import Bridge, order

ROOT = Path(__file__).resolve().parents[2]
CAUSE = "train.tsv:3: sentence, one tab, label expected"
KEYS = {
    "sources": ["data"],
    "compress": ["pruned50"],
    "quantize": ["int8"],
    "evaluate": ["int8"],
    "fingerprint": ["host-cpu"],
    "benchmark": ["int8", "host-cpu"],
    "bundle": ["host-cpu"],
    "yardstick": ["mean"],
}
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def _connected(server):
    with temporary_settings({PREFECT_API_URL: server.address, PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield


@pytest.fixture
def flow(project, monkeypatch):
    """A function that runs the flow with stages that do nothing; those of `errors`, by their words, raise."""
    shutil.copytree(ROOT / "infra/devices", paths.DEVICES)
    settings = yaml.safe_load((ROOT / "infra/presets/smoke.yaml").read_text())
    settings["compress"].popitem()
    settings["quantize"].popitem()
    settings["quantize"]["int8"]["model"] = "pruned50"
    settings["benchmark"]["devices"] = ["host-cpu"]
    settings["yardstick"] = {"mean": {"method": "nearest-class-mean"}}
    paths.PARAMS.write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(pipeline, "publish", lambda settings: None)
    for name, lane in stages.RETRIES.items():
        monkeypatch.setitem(stages.RETRIES, name, {**lane, "retry_delay_seconds": 0})

    def run(errors, variants=None):
        called = []

        def call(*words):
            called.append(words)
            with failures.kept(*words):
                if errors.get(words):
                    raise errors[words]
                if words == ("report",):
                    report.report(params.load())

        monkeypatch.setattr(pipeline, "call", call)
        run.bridge = Bridge(call)
        monkeypatch.setattr(pipeline, "Project", lambda: run.bridge)
        try:
            with stale.known(stale.Work(frozenset(" ".join(words) for words in order(params.load())))):
                pipeline.pipeline(variants=variants)
        except TercetError as error:
            return str(error).splitlines(), called
        return [], called

    return run


@pytest.fixture
def fit(monkeypatch):
    """Every pair is known to the report, which of stages that do nothing is not so."""
    monkeypatch.setattr(pipeline, "unfit", lambda *_: None)


@pytest.mark.parametrize("stage", STAGES)
def test_the_first_cause_is_told_first_and_consequences_are_counted(stage, flow, request):
    if stage == "bundle":  # which alone begins where all else has run
        request.getfixturevalue("fit")
    words = (stage, *KEYS.get(stage, []))
    said, called = flow({words: DataError(CAUSE)})
    label = "prune pruned50" if stage == "compress" else " ".join(words).replace("int8 host", "int8 @ host")
    assert said[0] == f"{label}: {CAUSE}"
    assert len(said) == 2
    lost = [words for words in order(params.load()) if words not in called]
    assert said[1].startswith("1 of ")
    expected = f"; {len(lost)} that need" if lost else " failed"
    assert expected in said[1]
    assert (len(lost) > 0) == (stage != "bundle")
    assert failures.find(*words).reason == CAUSE


def test_a_stage_that_succeeds_has_no_reason_any_more(flow, fit):
    for words in (("sources", "data"), ("quantize", "int8")):
        failures.Failure(stage=words[0], keys=words[1:], reason=CAUSE).save(paths.failure(*words))
    said, called = flow({})
    assert not said
    assert called == list(dict.fromkeys(called))
    assert set(called) == set(order(params.load()))
    assert not list(paths.FAILURES.rglob("*.json"))


@pytest.mark.parametrize(
    ("errors", "variants", "asked"),
    [({}, None, True), ({("report",): DataError(CAUSE)}, None, False), ({}, ["int8"], False)],
)
def test_dvc_is_asked_behind_a_run_that_has_left_nothing_to_do(flow, fit, errors, variants, asked):
    flow(errors, variants)
    assert flow.bridge.settled == asked


def test_each_failing_stage_has_a_line_of_its_own(flow):
    said, _ = flow({
        ("quantize", "int8"): DataError("int8: an operator stays float"),
        ("benchmark", "fp32", "host-cpu"): ValueError("two\nlines"),
    })  # fmt: skip
    assert said[:2] == [
        "quantize int8: int8: an operator stays float",
        "benchmark fp32 @ host-cpu: ValueError: two lines",
    ]
    assert re.match(r"2 of \d+ stages failed; \d+ that need them did not run$", said[2])


def test_each_stage_says_in_its_moment_how_it_ended_and_which_one_of_all_it_is(flow, caplog):
    caplog.set_level("INFO", logger="flows")
    words = ("benchmark", "fp32", "host-cpu")
    _, called = flow({words: DeviceError("away")})  # a fault that may pass, tried twice and told once
    said = [record for record in caplog.records if record.name == "flows.stages"]
    places = [re.match(r"\[(\d+)/(\d+)\] ", record.getMessage()) for record in said]
    assert called.count(words) == 2
    assert [int(place[1]) for place in places] == list(range(1, len(places) + 1))
    assert {int(place[2]) for place in places} == {len(order(params.load()))}
    failed = [i for i, record in enumerate(said) if record.levelname == "ERROR"]
    assert [said[i].getMessage().partition("] ")[2] for i in failed] == ["benchmark fp32 @ host-cpu: failed: away"]


REFUSED = {("quantize", "int8"): ConversionError("SOFTMAX stayed float32")}
CHANGES = {
    "nothing": (lambda settings, errors: None, True),
    "another reason": (lambda settings, errors: errors.update({("quantize", "int8"): ConversionError("no")}), False),
    "one more": (lambda settings, errors: errors.update({("evaluate", "fp32"): InvalidError("no numbers")}), False),
    "a fault beside it": (
        lambda settings, errors: errors.update({("fingerprint", "host-cpu"): OSError("full")}),
        False,
    ),
    "params.yaml": (lambda settings, errors: settings["train"].update(seed=9), False),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_can_never_be_made_fails_the_first_run_and_is_told_by_all(change, flow, fit, caplog):
    apply, ends_well = CHANGES[change]
    said, _ = flow(REFUSED)
    assert said[0] == "quantize int8: SOFTMAX stayed float32"
    assert said[-1] == pipeline.ONCE
    settings, errors = yaml.safe_load(paths.PARAMS.read_text()), dict(REFUSED)
    apply(settings, errors)
    paths.PARAMS.write_text(yaml.safe_dump(settings))
    caplog.clear()
    said, called = flow(errors)
    assert ("quantize", "int8") in called  # a newer library may be able to
    assert (said == []) == ends_well
    told = [record.getMessage() for record in caplog.records if "an earlier run has told" in record.getMessage()]
    assert len(told) == ends_well
    assert ("SOFTMAX stayed float32" in " ".join(told + said)) or change == "another reason"
    again, _ = flow(errors)
    assert (again == []) == (change != "a fault beside it")


def test_a_bundle_that_is_held_back_fails_every_run(flow, monkeypatch):
    monkeypatch.setattr(pipeline, "unfit", lambda *_: "a pair of it failed")
    assert [bool(flow(REFUSED)[0]) for _ in range(2)] == [True, True]


def test_a_bundle_that_is_held_back_though_all_has_run_is_not_begun_and_fails_every_run(flow, monkeypatch):
    monkeypatch.setattr(pipeline, "unfit", lambda *_: "the machine was too busy")
    for _ in range(2):
        said, called = flow({})
        assert said[0] == "bundle host-cpu: the machine was too busy; out/bundles/host-cpu stays as it was"
        assert re.match(r"1 of \d+ stages failed$", said[1])
        assert ("bundle", "host-cpu") not in called  # which alone would take the old one away


def test_what_could_be_made_in_between_is_news_when_it_cannot_any_more(flow, fit):
    assert flow(REFUSED)[0]
    assert flow({})[0] == []
    assert flow(REFUSED)[0]


def test_a_search_counts_the_stages_that_it_starts_from_and_no_others(flow, monkeypatch, caplog):
    caplog.set_level("INFO", logger="flows")
    called = []
    monkeypatch.setattr(trials, "Project", lambda: Bridge(lambda *words: called.append(words)))
    monkeypatch.setattr(trials, "look", lambda settings: {" ".join(words) for words in order(settings)})
    prefect_flow(trials.start_from, task_runner=trials.runner)(params.load())
    needed = [words for words in order(params.load()) if words[0] in ("code", "sources", "prepare", "train")]
    needed += [("quantize", "fp32")]
    assert sorted(called) == sorted(needed)
    said = [record.getMessage() for record in caplog.records if record.name == "flows.stages"]
    assert [line.partition("] ")[0] for line in said] == [f"[{i + 1}/{len(needed)}" for i in range(len(needed))]


def test_the_report_tells_what_hid_a_variant(flow):
    flow({("prepare",): DataError(CAUSE)})
    table = (paths.REPORT / "index.html").read_text()
    assert CAUSE in table
    assert "has not run" not in table


@pytest.mark.parametrize("passing", [DeviceError("away"), ConnectionResetError("reset"), URLError("no route")])
def test_a_fault_that_may_pass_is_tried_again_even_inside_another(passing, flow):
    wrapped = DataError("could not be loaded")
    wrapped.__context__ = passing  # as `raise … from None` leaves it
    _, called = flow({("prepare",): wrapped, ("benchmark", "int8", "host-cpu"): passing})
    assert called.count(("prepare",)) == 3
