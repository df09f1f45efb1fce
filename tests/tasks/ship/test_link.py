"""A conversation with a device that does not hold its end of it."""

from pathlib import Path

import pytest

from tasks.errors import DeviceError
from tasks.ship import link
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
