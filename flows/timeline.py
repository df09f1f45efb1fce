"""The timeline of a run, which Perfetto (ui.perfetto.dev) and chrome://tracing open: stages, measuring windows, power.

The format is Chrome's Trace Event Format, its times microseconds. A track holds what cannot be at work at once: a
machine's windows have one, whichever of its devices they are of, so two that overlap would be seen there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tasks import files, paths, records
from tasks.bench import devices
from tasks.records import Comparison, Measurement, Window

FILE = paths.STATE / "timeline.json"
STAGES, WINDOWS = 1, 2  # processes, as the format calls groups of tracks
HERE = "this machine"
Event = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """A stage that was brought up to date; nanoseconds of Unix time."""

    label: str
    outcome: str
    began_ns: int
    ended_ns: int


def save(spans: Sequence[Span]) -> None:
    """Write the timeline of a run, with the windows that were taken meanwhile."""
    if not spans:
        return
    path = paths.REPORT / "comparison.json"
    rows = records.read(Comparison, path).rows if path.exists() else ()
    files.write_json(FILE, trace(spans, [row.measurement for row in rows], _machine))


def trace(spans: Sequence[Span], measured: Sequence[Measurement], machine: Callable[[str], str]) -> dict[str, Any]:
    """The timeline of stages and of those windows that began among them.

    Args:
        spans: of the stages.
        measured: the pairs.
        machine: which one measures a device.
    """
    first = min(span.began_ns for span in spans)
    known = [
        (machine(m.device), name, m, window)
        for m in measured
        for name, phase in m.phases.items()
        for window in phase.windows
        if window.began_ns is not None and window.began_ns >= first
    ]
    machines = list(dict.fromkeys(each[0] for each in known))
    tracks = {name: place for place, name in enumerate(machines, 1)}
    events = [_named(STAGES, "stages"), _named(WINDOWS, "measuring windows")]
    events += [_named(WINDOWS, name, track) for name, track in tracks.items()]
    events += _stages(spans)
    for name, phase, m, window in known:
        events += _window(tracks[name], name, phase, m, window)
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _machine(device: str) -> str:
    return HERE if devices.here(device) else device


def _stages(spans: Sequence[Span]) -> Iterator[Event]:
    """Each on the first track that is free again."""
    free: list[int] = []  # by track, when
    for span in sorted(spans, key=lambda span: span.began_ns):
        track = next((i for i, ended in enumerate(free) if ended <= span.began_ns), len(free))
        free[track : track + 1] = [span.ended_ns]
        yield _slice(STAGES, track + 1, span.label, span.began_ns, span.ended_ns, {"outcome": span.outcome})


def _window(track: int, machine: str, phase: str, m: Measurement, window: Window) -> Iterator[Event]:
    """A window, and the power that a counter told of it and of the idle time around it."""
    began, ended = window.began_ns, window.ended_ns
    assert began is not None  # as of all that are shown
    assert ended is not None
    about = {"pair": f"{m.variant} @ {m.device}", "phase": phase, "runs": window.runs, "ms_p50": window.ms_p50}
    yield _slice(WINDOWS, track, window.variant, began, ended, about)
    for watts, at in ((window.active_w, began), (window.idle_w, ended)):
        if watts is not None:
            yield {"name": f"power, {machine}", "ph": "C", "pid": WINDOWS, "ts": at / 1e3, "args": {"W": watts}}


def _slice(pid: int, tid: int, name: str, began_ns: int, ended_ns: int, about: dict[str, Any]) -> Event:
    times = {"ts": began_ns / 1e3, "dur": (ended_ns - began_ns) / 1e3}
    return {"name": name, "ph": "X", "pid": pid, "tid": tid, **times, "args": about}


def _named(pid: int, name: str, tid: int | None = None) -> Event:
    kind = {"name": "process_name"} if tid is None else {"name": "thread_name", "tid": tid}
    return {**kind, "ph": "M", "pid": pid, "args": {"name": name}}
