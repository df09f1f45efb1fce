"""Which stages of a run work beside each other, and which wait."""

import os
import threading
from contextlib import ExitStack

import pytest
import yaml

from flows import lanes

SOON_S, WAIT_S = 30.0, 0.2  # what comes through may be slow to; what waits is looked at for a moment


@pytest.fixture
def boards(project):
    """Two more machines that are reached by ssh, beside the catalog's devices."""
    (project / "devices").mkdir()
    for name in ("board-a", "board-b"):
        text = yaml.safe_dump({"kind": "ssh", "description": name, "threads": 1, "watts_per_core": [0.5, 1.5, 3.0]})
        (project / "devices" / f"{name}.yaml").write_text(text)
    return project


def passes(lane, within_s=SOON_S):
    """Whether a thread comes through the lane."""
    through = threading.Event()

    def go():
        with lane:
            through.set()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    found = through.wait(within_s)
    return found, thread


def test_a_pair_elsewhere_needs_no_processor_here_and_waits_for_its_device_alone(boards):
    with ExitStack() as busy:
        for _ in range(os.cpu_count() or 1):
            busy.enter_context(lanes.of("evaluate", "int8"))
        assert not passes(lanes.of("benchmark", "int8", "ethos-u55-128"), WAIT_S)[0]  # an estimate computes here
        assert passes(lanes.of("benchmark", "int8", "board-a"))[0]
        with lanes.of("benchmark", "int8", "board-a"):
            assert passes(lanes.of("benchmark", "int8", "board-b"))[0]
            waits, thread = passes(lanes.of("benchmark", "fp32", "board-a"), WAIT_S)
            assert not waits
        thread.join(10)
        assert not thread.is_alive()


def test_pairs_of_this_machine_are_measured_one_by_one(boards):
    with lanes.of("benchmark", "int8", "host-cpu"):
        waits, thread = passes(lanes.of("benchmark", "int8", "host-cpu-2t"), WAIT_S)
        assert not waits
        assert passes(lanes.of("benchmark", "int8", "board-a"))[0]
    thread.join(10)
    assert not thread.is_alive()


def test_training_is_one_at_a_time_and_reports_wait_for_nothing(boards):
    with lanes.of("train"):
        waits, thread = passes(lanes.of("quantize", "int8"), WAIT_S)
        assert not waits
        assert passes(lanes.of("report"))[0]
    thread.join(10)
    assert not thread.is_alive()
