"""Another board, or another system on it, behind a name that stays makes the device's figures old."""

from pathlib import Path
from typing import Any

import pytest

from tasks import paths
from tasks.bench import devices
from tasks.bench.kinds import ssh

BOARD = {"machine": "aarch64", "cpu": "0x41 0xd0b", "features": ["asimd"], "cpus": 4, "python": "3.11.2"}


@pytest.fixture
def device(project: Path) -> Any:
    path = paths.device("board")
    path.parent.mkdir(parents=True)
    path.write_text("kind: ssh\ndescription: a board\nwatts_per_core: [1, 2, 3]\n")
    return devices.load("board")


def test_the_first_that_answers_changes_no_fingerprint(device: Any) -> None:
    before = devices.fingerprint(device)
    for load1 in (0.5, 2.0):  # what changes from minute to minute tells no machines apart
        ssh.remember(device, {**BOARD, "load1": load1})
    assert devices.fingerprint(device) == before


def test_every_other_one_does(device: Any) -> None:
    ssh.remember(device, BOARD)
    first = devices.fingerprint(device)
    ssh.remember(device, {**BOARD, "python": "3.13.0"})
    other = devices.fingerprint(device)
    ssh.remember(device, BOARD)
    back = devices.fingerprint(device)
    assert first != other != back != first


def test_a_note_that_is_not_whole_counts_for_nothing(device: Any) -> None:
    before = devices.fingerprint(device)
    paths.host("board").parent.mkdir(parents=True)
    for text in ("", "[{", '{"machine": 1}'):
        paths.host("board").write_text(text)
        assert devices.fingerprint(device) == before
