"""The timeline of a run by Chrome's Trace Event Format: every slice at its time, none across another of its track."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows import timeline
from flows.timeline import Span, trace
from tasks.records import Measurement, Phase, Window

SECOND = 10**9


def window(variant: str, began_s: float, ended_s: float, **changes: Any) -> Window:
    figures = {"runs": 3, "seconds": 1, "busy_s": 1, "ms_p10": 1, "ms_p50": 2, "ms_mean": 2, "cpu_ms_mean": 1}
    times = {"began_ns": round(began_s * SECOND), "ended_ns": round(ended_s * SECOND)}
    rest = {"load_ms": 1, "first_ms": 1, "peak_memory_kib": None}
    return Window.model_validate({"variant": variant, **figures, **rest, **times, **changes})


def measured(device: str, *windows: Window) -> Measurement:
    return Measurement(
        variant="int8", device=device, device_kind="litert", status="ok", mode="quick", artifact_sha256="0" * 64,
        phases={"infer": Phase(windows=windows)},
    )  # fmt: skip


def slices(found: dict[str, Any], pid: int) -> list[dict[str, Any]]:
    return [event for event in found["traceEvents"] if event["ph"] == "X" and event["pid"] == pid]


def overlaps(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Pairs of one track that are at work at once."""
    tracks: dict[int, list[dict[str, Any]]] = {}
    for event in sorted(events, key=lambda event: event["ts"]):
        tracks.setdefault(event["tid"], []).append(event)
    return [
        (a["name"], b["name"])
        for track in tracks.values()
        for a, b in pairwise(track)
        if a["ts"] + a["dur"] > b["ts"] + 1e-3
    ]


def test_windows_of_one_machine_share_a_track_and_others_have_their_own() -> None:
    pairs = [
        measured("one", window("fp32", 10, 11), window("int8", 12, 13, active_w=5.0, idle_w=2.0)),
        measured("two", window("int8", 12.5, 14)),
        measured("board", window("int8", 12, 14), window("int8", 1, 2)),
    ]
    span = Span("benchmark", "ran", 9 * SECOND, 15 * SECOND)
    found = trace([span], pairs, {"one": "here", "two": "here", "board": "board"}.__getitem__)
    named = {(e["pid"], e.get("tid")): e["args"]["name"] for e in found["traceEvents"] if e["ph"] == "M"}
    assert named == {(1, None): "stages", (2, None): "measuring windows", (2, 1): "here", (2, 2): "board"}
    (stage,), taken = slices(found, 1), slices(found, 2)
    assert (stage["name"], stage["ts"], stage["dur"], stage["args"]) == ("benchmark", 9e6, 6e6, {"outcome": "ran"})
    assert [(e["tid"], e["args"]["pair"], e["ts"] / 1e6) for e in taken] == [
        (1, "int8 @ one", 10), (1, "int8 @ one", 12), (1, "int8 @ two", 12.5), (2, "int8 @ board", 12),
    ], "and none from before the run"  # fmt: skip
    assert overlaps(taken) == [("int8", "int8")], "which would be seen"
    counters = [e for e in found["traceEvents"] if e["ph"] == "C"]
    assert [(e["name"], e["ts"] / 1e6, e["args"]) for e in counters] == [
        ("power, here", 12, {"W": 5.0}), ("power, here", 13, {"W": 2.0}),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1))
def test_stages_that_are_at_work_at_once_lie_on_different_tracks(times: list[tuple[int, int]]) -> None:
    spans = [Span(f"s{i}", "ran", began * 1000, (began + took) * 1000) for i, (began, took) in enumerate(times)]
    found = slices(trace(spans, [], str), 1)
    assert sorted((e["name"], e["ts"], e["ts"] + e["dur"]) for e in found) == sorted(
        (span.label, span.began_ns / 1e3, span.ended_ns / 1e3) for span in spans
    )
    assert overlaps(found) == []
    at_once = max(sum(b <= t < b + d or b == t for b, d in times) for t, _ in times)
    assert len({e["tid"] for e in found}) <= at_once


def test_a_run_without_a_stage_leaves_the_last_timeline(project: Any) -> None:
    timeline.save([])
    assert not timeline.FILE.exists()
    timeline.save([Span("prepare", "ran", 1, 2)])
    assert timeline.FILE.exists()
