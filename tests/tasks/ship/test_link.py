"""A conversation with a device that does not hold its end of it."""

from pathlib import Path

import pytest

from tasks.errors import DeviceError
from tasks.ship import delivery, link
from tasks.ship.device import incoming, keeper
from tasks.ship.targets import Target

ASLEEP = "#!/bin/sh\necho '{\"settled\": null}'\nexec sleep 60\n"


def test_a_device_that_takes_nothing_in_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "TAKES_S", 0.2)
    monkeypatch.setattr(link, "CLOSE_S", 0.1)
    monkeypatch.setattr(link, "sources", dict)
    asleep = tmp_path / "asleep"
    asleep.write_text(ASLEEP)
    asleep.chmod(0o755)
    target = Target("host-cpu", None, str(tmp_path / "store"), str(asleep), keep=1, tolerance=1.5)
    with (
        link.Link(target, hold=False) as conversation,
        pytest.raises(link.LostError, match=rf"^{target.name}: takes nothing in for 0\.2 s$"),
    ):
        conversation.ask("put", files="x" * 10**6)


@pytest.mark.parametrize("python", ["/nothing/here", "/etc/passwd"])
def test_a_python_that_does_not_start_is_one_line(tmp_path: Path, python: str) -> None:
    target = Target("host-cpu", None, str(tmp_path / "store"), python, keep=1, tolerance=1.5)
    line = rf"^{target.name}: {python} does not start: (No such file or directory|Permission denied)$"
    with pytest.raises(DeviceError, match=line), link.Link(target, hold=False):
        pass


def test_who_ships_waits_for_longer_than_anything_there_may_take() -> None:
    """Or a device that is only slow is given up, and a folder's keeper is killed at its work."""
    turn = 2 * keeper.PROOF_S + 2 * keeper.RESTART_S  # there and back again
    assert link.GREETING_S > keeper.RESTART_S + 30
    assert keeper.INSTALL_S + turn < delivery.BACK_S
    assert incoming.TAR_S + 2 * keeper.INSTALL_S + turn < delivery.TAKE_S
