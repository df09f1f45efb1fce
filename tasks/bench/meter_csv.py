"""A power meter beside the device, whose own software writes a CSV while the windows run; read here afterwards.

The device's file says `meter: external`, the environment variable TERCET_METER_CSV names the CSV: a header and one row
per sample, in any order of columns, others ignored. Time is `time_s` (or `epoch_s`, `timestamp`), seconds since 1970
by a clock that agrees with the device's; power is `power_w` (or `watts`, `power`), watts. Times rise.
"""

import csv
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.bench.answers import Counter, Reading, Span, Window
from tasks.errors import DataError

VARIABLE = "TERCET_METER_CSV"
TIME = ("time_s", "epoch_s", "timestamp")
POWER = ("power_w", "watts", "power")
FLUSH_S = 5.0  # that the meter's software is given to write its last samples
GAP = 5  # sampling intervals without a sample: more, and something was missed
LATEST_S = 1e11  # of the year 5138
MOST_W = 1e6
LONGEST = 10_000  # characters of a line: csv's own limit is the whole process's, and others raise it
OFFSET = 0.01  # of its largest power: so far below 0 a meter may be at nothing
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """What a meter saw: rising seconds of the epoch, and watts."""

    s: Floats
    w: Floats

    @property
    def interval_s(self) -> float:
        """Its usual sampling interval."""
        return float(np.median(np.diff(self.s)))

    @cached_property
    def _totals(self) -> Floats:
        """Joules up to each sample, by trapezoids."""
        return np.concatenate(([0.0], np.cumsum(np.diff(self.s) * (self.w[1:] + self.w[:-1]) / 2)))

    def joules(self, at_s: float) -> float:
        """Energy since the first sample; between two the power goes straight, beyond either end it stays."""
        k = max(0, int(np.searchsorted(self.s, at_s, "right")) - 1)
        power = float(np.interp(at_s, self.s, self.w))
        return float(self._totals[k] + (at_s - self.s[k]) * (self.w[k] + power) / 2)

    def missing(self, start_s: float, end_s: float) -> tuple[float, float] | None:
        """The longest time between the two moments without a sample, if that is more than `GAP` intervals."""
        marks = np.concatenate(([start_s], self.s[(self.s > start_s) & (self.s < end_s)], [end_s]))
        k = int(np.argmax(np.diff(marks)))
        gap = float(marks[k]), float(marks[k + 1])
        return gap if gap[1] - gap[0] > GAP * self.interval_s else None


def usable() -> str | None:
    """Why there is no meter and what to do about it; null where its CSV can be read."""
    name = os.environ.get(VARIABLE)
    if not name:
        return f"no external meter: set {VARIABLE} to the CSV ({TIME[0]},{POWER[0]}) that the meter's software writes"
    try:
        load(Path(name))
    except DataError as error:
        return f"no external meter: {error}"
    return None


def load(path: Path) -> Trace:
    """Read the meter's CSV; a last line without an end is still being written, and left out.

    Raises:
        DataError: no such file, no such columns, a line too long, a row that is no number, or times that do not rise.
    """
    if not path.is_file():
        raise DataError(f"{path}: the meter's CSV cannot be read: no such file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
        if (longest := max(map(len, lines), default=0)) > LONGEST:
            raise DataError(f"{path}: a line has {longest:,} characters; at most {LONGEST:,} expected of a meter's CSV")
        rows = csv.reader(line for line in lines if line.endswith("\n"))
        header = [name.strip().lower() for name in next(rows, [])]
        columns = [next((header.index(name) for name in names if name in header), None) for names in (TIME, POWER)]
        if None in columns:
            raise DataError(f"{path}: received the columns {header}; one of {TIME} and one of {POWER} are needed")
        values = np.array([[float(row[k]) for k in columns if k is not None] for row in rows if row], np.float64)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the meter's CSV cannot be read: {error}") from None
    except (csv.Error, ValueError, IndexError) as error:  # csv.Error: a NUL, a quote that nothing ends
        raise DataError(f"{path}: a row is no sample: {str(error)[:200]}") from None
    if len(values) < 2 or not np.isfinite(values).all() or not (np.diff(values[:, 0]) > 0).all():
        raise DataError(f"{path}: {len(values)} samples; at least two are needed, finite, their times rising")
    trace = Trace(values[:, 0], values[:, 1])
    fault = _implausible(trace)
    if fault:
        raise DataError(f"{path}: {fault}")
    return trace


def _implausible(trace: Trace) -> str | None:
    """Why the columns cannot be seconds and watts, though they are numbers."""
    first_s, last_s, least_w, most_w = trace.s[0], trace.s[-1], trace.w.min(), trace.w.max()
    if first_s < 0 or last_s > LATEST_S:
        return f"its times go from {first_s:.6g} to {last_s:.6g}: seconds since 1970 are needed, no milliseconds"
    if most_w > MOST_W:
        return f"its power goes up to {most_w:.6g}: watts are needed, no milliwatts"
    if least_w < -OFFSET * max(most_w, -least_w):
        return f"its power goes down to {least_w:.6g} W: a device uses 0 or more; is the probe the wrong way round?"
    return None


def filled(windows: Sequence[Window]) -> list[Window]:
    """The runner's windows with the meter's energy where it had none to read.

    Each reading gets the microjoules of the trace at its moment, and `update_s` its samples' distance. Where the trace
    does not hold all of a window or of the idle time beside it, `reason` says what is missing.
    """
    last_ns = max(reading.epoch_ns for window in windows for reading in _readings(window.energy))
    try:
        trace = _written(Path(os.environ.get(VARIABLE, "")), last_ns / 1e9)
    except DataError as error:
        return [replace(window, energy=replace(window.energy, reason=str(error))) for window in windows]
    return [replace(window, energy=_energy(trace, window.energy)) for window in windows]


def _written(path: Path, until_s: float) -> Trace:
    """The trace, once it reaches the moment or has had the time to."""
    end = time.monotonic() + FLUSH_S
    while (trace := load(path)).s[-1] < until_s and time.monotonic() < end:
        time.sleep(0.2)
    return trace


def _spans(counter: Counter) -> dict[str, Span]:
    """The three spans of a window by what they are called; a meter has idle times always."""
    before, after = counter.idle
    assert before
    assert after
    return {"the idle": before, "a": counter.window, "the last idle": after}


def _readings(counter: Counter) -> list[Reading]:
    return [reading for span in _spans(counter).values() for reading in span]


def _energy(trace: Trace, counter: Counter) -> Counter:
    spans = _spans(counter)
    faults = (fault for name, span in spans.items() if (fault := _fault(trace, name, span)))
    reason = _elsewhere(trace, counter) or next(faults, None)
    before, window, after = ((_read(trace, start), _read(trace, end)) for start, end in spans.values())
    start_s, end_s = (reading.epoch_ns / 1e9 for reading in counter.window)
    samples = int(((trace.s >= start_s) & (trace.s < end_s)).sum())
    update_s = (end_s - start_s) / samples if samples else None
    return replace(counter, idle=(before, after), window=window, update_s=update_s, reason=reason)


def _read(trace: Trace, reading: Reading) -> Reading:
    return replace(reading, uj=(round(trace.joules(reading.epoch_ns / 1e9) * 1e6),))


def _elsewhere(trace: Trace, counter: Counter) -> str | None:
    """Why the meter saw nothing of a window, nor of the idle times beside it."""
    moments_s = [reading.epoch_ns / 1e9 for reading in _readings(counter)]
    before_s, after_s = min(moments_s) - trace.s[-1], trace.s[0] - max(moments_s)
    if max(before_s, after_s) <= 0:
        return None
    side = "before" if before_s > 0 else "after"
    return (
        f"the meter's samples end or begin {max(before_s, after_s):.3g} s {side} the window: is its clock the device's?"
    )


def _fault(trace: Trace, name: str, span: Span) -> str | None:
    start_s, end_s = (reading.epoch_ns / 1e9 for reading in span)
    gap = trace.missing(start_s, end_s)
    if gap is None:
        return None
    low, high = (moment - start_s for moment in gap)
    return f"the meter has no sample from {low:.2f} to {high:.2f} s of {name} window of {end_s - start_s:.2f} s"
