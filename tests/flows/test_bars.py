"""The bars beneath a run: what is left by what took how long, and nothing where nobody sees it."""

import io
import json
import sys
import time

import pytest

from flows.views import bars
from flows.views.bars import TOOK, Bars, Expected


def test_a_stage_is_expected_to_take_what_it_took_or_what_its_kind_did():
    expected = Expected({"quantize@a": 2.0, "quantize@b": 4.0, "train": 30.0})
    assert (expected("quantize@a"), expected("quantize@c"), expected("train")) == (2.0, 3.0, 30.0)
    assert expected("report") == 12.0  # of all
    assert Expected({})("train") == bars.UNKNOWN_S


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_what_is_done_is_what_has_ended_and_a_share_of_what_is_under_way(project, clock):
    TOOK.parent.mkdir()
    TOOK.write_text(json.dumps({"train": 40.0, "report": 10.0, "benchmark@int8-host-cpu": 50.0}))
    with Bars(["train", "report", "benchmark@int8-host-cpu"], shown=False) as found:
        assert found.done() == (0.0, 100.0)
        with found.during("train") as told:
            clock[0] += 30
            assert found.done() == (30.0, 100.0)
            assert found.long() is None  # it has a bar of its own steps
            clock[0] += 30  # longer than it was expected to take
            assert found.done() == (40.0, 100.0)
            told.outcome = "ran"
        assert found.expected("train") == 60.0
        with found.during("benchmark@int8-host-cpu"), found.during("report"):
            clock[0] += 5
            assert found.long() == ("benchmark@int8-host-cpu", 5.0, 50.0)
    assert json.loads(TOOK.read_text()) == {"train": 60.0, "report": 10.0, "benchmark@int8-host-cpu": 50.0}


@pytest.mark.parametrize("content", ["", "[1]", '{"train": "long"}'])
def test_notes_that_are_not_whole_are_no_fault(content, project):
    TOOK.parent.mkdir()
    TOOK.write_text(content)
    assert Bars(["train"], shown=False).expected("train") == bars.UNKNOWN_S


def test_a_second_try_counts_once(project, clock):
    found = Bars(["benchmark@a-b", "report"], shown=False)
    for _ in range(2):
        with found.during("benchmark@a-b"):
            pass
    assert found.done() == (1.0, 2.0)


def test_both_bars_are_drawn_on_a_terminal_alone(project, monkeypatch):
    monkeypatch.setattr(bars, "TICK_S", 0.02)
    TOOK.parent.mkdir()
    TOOK.write_text(json.dumps({"benchmark@int8-host-cpu": 60.0}))
    for shown in (True, False):
        screen = io.StringIO()
        monkeypatch.setattr(sys, "stderr", screen)
        with Bars(["benchmark@int8-host-cpu", "report"], shown=shown) as found, found.during("benchmark@int8-host-cpu"):
            time.sleep(0.2)
        said = screen.getvalue()
        assert ("run: " in said, "benchmark@int8-host-cpu: " in said, " left" in said) == (shown,) * 3
