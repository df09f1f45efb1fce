"""Measurements and windows of one phase, an inference, by their figures."""

from typing import Any

from tasks.bench.answers import Window, parse
from tasks.bench.runner import SCHEMA
from tasks.records import Measurement, inference

FIGURES = ("latency", "ratio", "energy", "windows")


def of_inference(fields: dict[str, Any]) -> dict[str, Any]:
    """A measurement's fields, where the figures of its phase stand among them."""
    figures = {key: fields[key] for key in FIGURES if fields.get(key) is not None}
    return {key: value for key, value in fields.items() if key not in FIGURES} | {"phases": inference(**figures)}


def changed(measurement: Measurement, **fields: Any) -> Measurement:
    """The same measurement with other figures, or other fields."""
    whole = {key: getattr(measurement, key) for key in [*Measurement.model_fields, *FIGURES] if key != "phases"}
    return Measurement.model_validate(of_inference({**whole, **fields}))


def window_of(**fields: Any) -> Window:
    """A window as the runner would answer it; keywords are its fields, `energy` as JSON, times there in `ns` alone."""
    counter = {"source": None, "zones": [], "reason": "none", "update_s": None, "idle": [None, None]}
    counter |= {"window": [{"uj": [], "ns": 0}] * 2, **fields.pop("energy", {})}
    for span in (*counter["idle"], counter["window"]):
        for reading in span or ():
            reading.setdefault("epoch_ns", reading["ns"])
    window = {
        "unit": "inference",
        "volume": 1,
        "period": 1,
        "runs": 100,
        "seconds": 1.0,
        "busy_s": 1.0,
        "cpu_s": 1.0,
        "busy_cpu_s": 1.0,
        "empty_ns": 50.0,
        "preempted": 0,
        "state": [{}, {}],
        "energy": counter,
        **fields,
    }
    memory = {"before_kib": None, "peak_kib": None}
    timing = {"load_ms": 1.0, "first_ms": 1.0, "memory": memory, "phases": {"infer": window}}
    answer = parse({"schema": SCHEMA, "status": "ok", "reason": None, "environment": {}, "timing": timing})
    assert answer.timing
    return answer.timing.phases["infer"]
