"""How far a prediction from a datasheet is from the same hardware, measured. Pure."""

from collections.abc import Iterable, Sequence

from tasks.records import Measurement, Record, notation


class RooflineError(Record):
    """One variant, predicted and measured, in milliseconds per inference."""

    variant: str
    device: str  # predicted
    measured_as: str
    ms_low: float
    ms_predicted: float
    ms_high: float
    ms_measured: float  # median
    factor: float  # measured over predicted
    inside: bool  # of the predicted range


def find(measurements: Iterable[Measurement]) -> list[RooflineError]:
    """The error of every prediction whose hardware measured the same artifact, in the order of the predictions."""
    known = list(measurements)
    measured = {
        (m.device, m.variant, m.artifact_sha256): m.latency.ms_p50
        for m in known
        if m.status == "ok" and m.latency is not None and m.latency.provenance == "measured"
    }
    errors = []
    for m in known:
        device = m.details.get("measured_as") if m.device_kind == "roofline" and m.status == "ok" else None
        figure = measured.get((str(device), m.variant, m.artifact_sha256))
        if figure is not None:
            errors.append(_error(m, str(device), figure))
    return errors


def notes(errors: Sequence[RooflineError]) -> list[str]:
    """One sentence for each predicted device."""
    return [_note([error for error in errors if error.device == device]) for device in _devices(errors)]


def _error(m: Measurement, device: str, measured: float) -> RooflineError:
    assert m.latency is not None  # of a prediction that is ok
    assert m.latency.ms_low is not None
    assert m.latency.ms_high is not None
    return RooflineError(
        variant=m.variant,
        device=m.device,
        measured_as=device,
        ms_low=m.latency.ms_low,
        ms_predicted=m.latency.ms_p50,
        ms_high=m.latency.ms_high,
        ms_measured=measured,
        factor=measured / m.latency.ms_p50,
        inside=m.latency.ms_low <= measured <= m.latency.ms_high,
    )


def _devices(errors: Sequence[RooflineError]) -> list[str]:
    return list(dict.fromkeys(error.device for error in errors))


def _note(errors: Sequence[RooflineError]) -> str:
    low, high = (notation.significant(pick(error.factor for error in errors), 2) for pick in (min, max))
    times = low if low == high else f"{low} to {high}"
    inside = sum(error.inside for error in errors)
    return (
        f"{errors[0].device} against {errors[0].measured_as}, measured: {inside} of {len(errors)} medians lie within"
        f" the predicted range; measured is {times} times the predicted middle."
    )
