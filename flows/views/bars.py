"""What a terminal shows beneath the lines of a run: one bar for all of it, and one for the long stage under way.

How long is left is told by how long the same stages took before in this project; of one that never ran, by the mean of
its kind. It is nothing that a result hangs from.
"""

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Never, Self

from tasks import files, paths
from tasks.errors import TercetError

if TYPE_CHECKING:
    from tqdm import tqdm

TOOK = paths.STATE / "took.json"  # the seconds of each stage's last run, by its name in dvc.yaml
LONG_S = 3.0  # a stage that takes less has no bar of its own
TICK_S = 0.5
OWN = ("train", "compress@")  # names of the stages that draw bars of their steps themselves
ANY = ""  # every kind
UNKNOWN_S = 1.0  # where nothing is known of any stage; only the proportions count then
FORMAT = "{desc}: {percentage:3.0f} %|{bar}| {elapsed}, about {remaining} left"


class Expected:
    """How long stages will take, from how long they took."""

    def __init__(self, took: dict[str, float]) -> None:
        self.took: dict[str, float] = {}
        self._alike: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0])  # by kind: their sum, how many
        for name, seconds in took.items():
            self.learn(name, seconds)

    def learn(self, name: str, seconds: float) -> None:
        """A stage has taken so long."""
        known = name in self.took
        for kind in (name.partition("@")[0], ANY):
            self._alike[kind][0] += seconds - self.took.get(name, 0.0)
            self._alike[kind][1] += not known
        self.took[name] = seconds

    def __call__(self, name: str) -> float:
        """Seconds of a stage, by its name in dvc.yaml."""
        alike = (self._alike[kind] for kind in (name.partition("@")[0], ANY))
        return self.took.get(name) or next((total / n for total, n in alike if n), UNKNOWN_S)


class Bars:
    """The two bars of a run; threads may begin and end stages. Nothing is drawn where standard error is no terminal.

    Args:
        stages: that are to be looked at, by their names in dvc.yaml.
        shown: whether to draw at all.
    """

    def __init__(self, stages: Collection[str], *, shown: bool | None = None) -> None:
        self.expected = Expected(_read())
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._lock = threading.Lock()
        self._waiting = set(stages)
        self._running: dict[str, float] = {}  # when each began
        self._gone_s = 0.0  # expected seconds of the stages that have ended
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if self._shown:
            self._drawing = threading.Thread(target=self._draw, daemon=True)
            self._drawing.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        if self._shown:
            self._drawing.join(2 * TICK_S)
        with suppress(OSError):  # a full disk; the next run knows less
            files.write_json(TOOK, self.expected.took)

    @contextmanager
    def during(self, name: str) -> Iterator[SimpleNamespace]:
        """A stage is under way as long as the block lasts; its `outcome` is set within; if "ran", its time counts."""
        told, began = SimpleNamespace(outcome=None), time.monotonic()
        with self._lock:
            self._running[name] = began
        try:
            yield told
        finally:
            with self._lock:
                del self._running[name]
                if name in self._waiting:  # a second try counts once
                    self._waiting.remove(name)
                    self._gone_s += self.expected(name)
                if told.outcome == "ran":
                    self.expected.learn(name, time.monotonic() - began)

    def done(self) -> tuple[float, float]:
        """Seconds of work that are done, and of all, by what stages are expected to take."""
        now = time.monotonic()
        with self._lock:
            under_way = sum(min(now - began, self.expected(name)) for name, began in self._running.items())
            return self._gone_s + under_way, self._gone_s + sum(map(self.expected, self._waiting))

    def long(self) -> tuple[str, float, float] | None:
        """Of the stage under way that has the most before it: its name, the seconds gone, those expected."""
        now = time.monotonic()
        with self._lock:
            found = [(name, now - began, self.expected(name)) for name, began in self._running.items()]
        found = [each for each in found if each[2] >= LONG_S and not each[0].startswith(OWN)]
        return max(found, key=lambda each: each[2] - each[1], default=None)

    def _draw(self) -> None:
        from tqdm import tqdm

        def bar(what: str) -> "tqdm[Never]":
            return tqdm(total=1.0, desc=what, bar_format=FORMAT, leave=False, smoothing=0, dynamic_ncols=True)

        whole, stage = bar("run"), None
        while not self._ended.wait(TICK_S):
            _set(whole, *self.done())
            long = self.long()
            if stage is not None and (long is None or stage.desc != long[0]):
                stage.close()
                stage = None
            if long is not None:
                stage = stage or bar(long[0])
                _set(stage, min(long[1], long[2]), long[2])
        for each in filter(None, (stage, whole)):
            each.close()


def _set(bar: "tqdm[Never]", done: float, total: float) -> None:
    bar.n, bar.total = done, max(total, done)
    bar.refresh()


def _read() -> dict[str, float]:
    """What was noted; nothing where it is not whole."""
    try:
        found = files.read_json(TOOK)
        return {str(name): float(seconds) for name, seconds in (found or {}).items()}
    except (OSError, TercetError, ValueError, TypeError, AttributeError):
        return {}
