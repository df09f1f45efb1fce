"""What the terminal shows while stages run."""

import logging
import sys
from io import StringIO

from tqdm import tqdm

from flows import run


def test_a_line_stands_above_a_progress_bar_and_not_in_it(monkeypatch):
    screen = StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    handler = run._Lines()
    with tqdm(total=4, file=screen, mininterval=0, ncols=60) as bar:
        bar.update(2)
        handler.emit(logging.makeLogRecord({"msg": "train baseline: ran in 2.0 s"}))
    before, _, after = screen.getvalue().partition("train baseline: ran in 2.0 s\n")
    assert before.endswith("\r")  # the bar is cleared away
    assert "2/4" in after  # and drawn again beneath
