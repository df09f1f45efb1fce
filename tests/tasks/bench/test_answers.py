"""What the runner answers becomes records at the border, or one line that says where it is none."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tasks.bench import answers, shots, stats
from tasks.bench.meters import Metered
from tasks.bench.runner import SCHEMA
from tests.phases import window_of

Change = Callable[[dict[str, Any]], Any]
READING = {"uj": [7], "ns": 5, "epoch_ns": 6}


@pytest.fixture
def given() -> dict[str, Any]:
    """An answer to `time`, as JSON."""
    counter = {
        "source": "powercap", "zones": [{"zone": "a", "name": "b", "range_uj": 9}], "reason": None, "update_s": 0.001,
        "power_w": None, "idle": [[READING, READING], None], "window": [READING, READING],
    }  # fmt: skip
    window = {
        "unit": "token", "volume": 3, "period": 2, "runs": 4, "seconds": 1.5, "busy_s": 1, "cpu_s": 1.0,
        "busy_cpu_s": 1.0, "empty_ns": 50.0, "preempted": None, "state": [{"mhz": None}, {"mhz": 1.0}],
        "energy": counter,
    }  # fmt: skip
    timing = {"load_ms": 1.0, "first_ms": 2.0, "memory": {"before_kib": None, "peak_kib": 3}, "phases": {"p": window}}
    return {"schema": SCHEMA, "status": "ok", "reason": None, "environment": {"cpu": "x"}, "timing": timing}


def test_an_answer_is_what_it_was_in_json(given: dict[str, Any]) -> None:
    answer = answers.parse(given)
    assert answer.timing
    window = answer.timing.phases["p"]
    assert (window.unit, window.volume, window.runs, window.busy_s, window.preempted) == ("token", 3, 4, 1, None)
    assert window.energy.idle == ((answers.Reading((7,), 5, 6), answers.Reading((7,), 5, 6)), None)
    assert window.energy.zones == (answers.Zone("a", "b", 9),)
    assert answer.environment == {"cpu": "x"}
    again = answers.parse(json.loads(json.dumps(dataclasses.asdict(answer))))
    assert again == answer
    with pytest.raises(dataclasses.FrozenInstanceError):
        window.runs = 5  # type: ignore[misc]


def _window(given: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = given["timing"]["phases"]["p"]
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given.update(schema=3), f"it is in schema 3, and {SCHEMA} is understood: not ours?"),
        (lambda given: given.pop("schema"), "it is in schema None"),
        (lambda given: given.update(more=1), "answer: nobody knows 'more'"),
        (lambda given: given.pop("environment"), "answer: 'environment' is missing"),
        (lambda given: given.update(status="fine"), r"answer\.status: received 'fine'; Literal\['ok', 'uns"),
        (
            lambda given: _window(given).update(runs="4"),
            r"answer\.timing\.phases\.p\.runs: received '4'; int is expected",
        ),
        (lambda given: _window(given).update(runs=True), r"runs: received True; int is expected"),
        (lambda given: _window(given).update(seconds=None), r"p\.seconds: received None; float is expected"),
        (lambda given: _window(given).pop("energy"), r"answer\.timing\.phases\.p: 'energy' is missing"),
        (lambda given: _window(given).update(state=[{}]), r"p\.state: received \[\{\}\]; tuple"),
        (lambda given: _window(given)["energy"].update(window=[READING, 3]), r"window\[1\]: received 3; Reading is"),
        (
            lambda given: _window(given)["energy"].update(zones={}),
            r"energy\.zones: received \{\}; tuple\[Zone, \.\.\.\]",
        ),
        (lambda given: given.update(timing=[]), r"answer\.timing: received \[\]; Timing is expected"),
    ],
)
def test_what_is_malformed_is_told_by_its_place(given: dict[str, Any], change: Change, message: str) -> None:
    change(given)
    with pytest.raises(ValueError, match=message):
        answers.parse(given)


def test_the_energy_of_a_window_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many look at it: the record, the ratio, the checks, the notes."""
    worked: list[answers.Window] = []
    real = shots.meters.window_energy
    monkeypatch.setattr(shots.meters, "window_energy", lambda window: worked.append(window) or real(window))
    spans = [[{"uj": [0], "ns": 0}, {"uj": [joules * 10**6], "ns": 10**9}] for joules in (1, 5, 1)]
    counter = {
        "source": "powercap", "zones": [{"zone": "a", "name": "b", "range_uj": None}], "reason": None,
        "update_s": 0.001, "idle": [spans[0], spans[2]], "window": spans[1],
    }  # fmt: skip
    windows = [window_of(energy=counter, runs=runs) for runs in range(10, 16)]
    timing = answers.Timing(1.0, 1.0, answers.Memory(None, None), {})
    taken = [shots.Stretch("a", timing, Metered(window), np.full(3, 10**8, np.uint64)) for window in windows]
    assert shots.energy(taken, taken[::-1], (1, 2, 3), offloads=False).ratio
    assert shots.details(taken)["energy"]["notes"] == []
    assert [stretch.fault(starved=0) for stretch in taken] == [None] * 6
    assert taken[0].window().energy_mj == pytest.approx(500)
    assert len(worked) == 6


def test_the_floor_of_a_round_is_that_of_each_of_its_places() -> None:
    """Later tokens take longer by nature: the lowest of all would be the first token's, whatever the others took."""
    window = np.array([100, 200, 330, 120, 190, 300], np.uint64)
    assert stats.floor(window) == 100
    assert stats.floor(window, 3) == pytest.approx((100 + 190 + 300) / 3)
