"""What the terminal shows while stages run."""

import logging
import sys
from io import StringIO

import pytest
from tqdm import tqdm

from flows.start import lines


class Terminal(StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("screen", "level", "environment", "shown"),
    [
        (Terminal, logging.ERROR, {}, "\x1b[31mtrain: failed\x1b[0m\n"),
        (Terminal, logging.ERROR, {"NO_COLOR": "1"}, "train: failed\n"),
        (Terminal, logging.INFO, {}, "train: failed\n"),
        (StringIO, logging.ERROR, {}, "train: failed\n"),
    ],
)
def test_a_failure_is_red_where_colours_are_seen_and_wanted(screen, level, environment, shown, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", screen())
    lines._Lines().emit(logging.makeLogRecord({"msg": "train: failed", "levelno": level}))
    assert sys.stderr.getvalue() == shown


def test_a_line_stands_above_a_progress_bar_and_not_in_it(monkeypatch):
    screen = StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    handler = lines._Lines()
    with tqdm(total=4, file=screen, mininterval=0, ncols=60) as bar:
        bar.update(2)
        handler.emit(logging.makeLogRecord({"msg": "train baseline: ran in 2.0 s", "levelno": logging.INFO}))
    before, _, after = screen.getvalue().partition("train baseline: ran in 2.0 s\n")
    assert before.endswith("\r")  # the bar is cleared away
    assert "2/4" in after  # and drawn again beneath
