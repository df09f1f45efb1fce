"""Did compression help here? One sentence for each variant on each device, from recorded facts only. Pure."""

from collections.abc import Sequence

from tasks.formats.schemes import SCHEMES
from tasks.intervals import Kind
from tasks.records import Beside, Control, Measurement, Row, Score, Subject, notation
from tasks.report.causes import causes
from tasks.report.others import others
from tasks.ship.speed import NEGLIGIBLE

UNSTEADY = "too unsteady to tell a change"
LIMITS = {
    "bandwidth": "bandwidth-bound, so fewer bytes make it faster",
    "caches": "much of it comes from caches",
    "compute": "its arithmetic or its calls take longer than its bytes",
}
LOSSY = 0.02  # of a share, that integers throughout lose against the reference
SIGNIFICANT = 0.05  # the p-value of the metric's paired test, raised by Holm for all variants of the device


def sentence(row: Row, device: Sequence[Row], subject: Subject, reference: str, base: Subject | None) -> str:
    """The verdict: speed, quality and size against the reference, and the likely cause where compression did not help.

    Args:
        row: the variant on the device.
        device: all rows of that device, `row` among them.
        subject: the variant's cards.
        reference: the variant that all are compared with.
        base: the reference's cards; None when it failed.
    """
    m = row.measurement
    if m.status != "ok":
        return refusal(m)
    if row.variant == reference:
        clauses = ["The reference: ratios, changes and sizes are against it"]
    else:
        own = row.outcome == "reference"
        clauses = [f"The others are compared with it here, as {absence(device, reference)}" if own else _speed(row)]
        details = [_quality(row, base), _size(subject, base)] if base is not None else []
        # where latency is against another variant, quality and size say whom they are against
        other = details and row.anchor != reference
        clauses += [f"against {reference}: {', '.join(details)}"] if other else details
        clauses += [_control(row, row.control)] if row.control else []
    clauses += [yardstick(row, each) for each in row.yardsticks]
    text = "; ".join(clauses)
    reasons = [*causes(row, device, subject), *others(row, device), *_bound(m), *_lossy(row, base), *_flags(row)]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in [text, *reasons])


def absence(device: Sequence[Row], reference: str) -> str:
    """Why a device's variants are compared with another one than the reference: what has become of that there."""
    status = next((row.measurement.status for row in device if row.variant == reference), None)
    words = {"unsupported": "does not run", "invalid": "is invalid", "error": "failed"}
    return f"{reference} {words.get(status or '', 'has no result')}"


def refusal(m: Measurement) -> str:
    """The sentence of a pair that is not ok: its status and why."""
    word = "failed" if m.status == "error" else m.status
    return f"{word.capitalize()}: {(m.reason or 'no reason was recorded').rstrip('.')}."


def _speed(row: Row) -> str:
    found = row.speed
    if found is None:
        return "latency not compared: no paired windows" if row.measurement.latency else "no latency is known here"
    if found.of == "instructions":
        less, proxy = found.ratio < 1, "a proxy of cost, no time"
        if row.outcome == "no change":
            told = notation.ratio(found.ratio)
            return f"as many instructions as {found.against}, to within {NEGLIGIBLE:.0%} (ratio {told}, {proxy})"
        times = notation.ratio(1 / found.ratio if less else found.ratio)
        return f"{times}× {'fewer' if less else 'more'} instructions than {found.against} ({proxy})"
    estimated = "" if row.measurement.latency is None else row.measurement.latency.provenance
    lead = "" if estimated == "measured" else f"{estimated} "
    if row.outcome in ("no change", "inconclusive"):
        detail = notation.ratio(found.ratio) + _interval(found.low, found.high, found.kind)
        unsure = f"{found.pairs} pairs of windows are too few to tell a change" if found.few else UNSTEADY
        what = "no measurable change" if row.outcome == "no change" else unsure
        return f"{lead}{what} of latency against {found.against} (ratio {detail})".strip()
    faster = row.outcome == "faster"
    factor, low, high = found.ratio, found.low, found.high
    if faster:
        factor = 1 / found.ratio
        low, high = (None, None) if not low or not high else (1 / high, 1 / low)
    return f"{lead}{notation.ratio(factor)}× {row.outcome} than {found.against}{_interval(low, high, found.kind)}"


def _interval(low: float | None, high: float | None, kind: Kind) -> str:
    return f" {notation.interval(low, high, kind)}".rstrip()


def _quality(row: Row, base: Subject) -> str:
    test = _test(row, base)
    if test is None:
        return f"{row.metric} not compared"
    paired, change = row.paired, _change(row, test.value)
    if paired is None:
        return f"{row.metric} {change} (no paired test)"
    if paired.better == paired.worse == 0:
        return f"{row.metric} as {base.variant}'s on every example"
    p_value = paired.p_value if paired.p_holm is None else paired.p_holm
    told = notation.probability(p_value) + (" by Holm" if p_value > paired.p_value else "")
    if p_value < SIGNIFICANT:
        return f"{row.metric} {change} ({told})"
    return f"no significant change of {row.metric} ({change}, {told})"


def _test(row: Row, base: Subject) -> Score | None:
    """What the reference has on the test split; None where it is another metric's."""
    scores = (s for s in base.evaluation.scores if s.split == "test" and s.kernels == "default")
    return next((score for score in scores if score.metric == row.metric), None)


def _change(row: Row, other: float) -> str:
    """How the quality differs; of what is the better the lower it is, with which way that is."""
    assert row.quality is not None  # as of every pair that is ok
    told = notation.change(row.quality - other, row.unit, row.quality_n)
    gain = row.gain(row.quality, other)
    return told if row.better == "higher" or not gain else f"{told}, {'better' if gain > 0 else 'worse'}"


def _control(row: Row, control: Control) -> str:
    """What compression alone did: against the float model that was trained on meanwhile."""
    p_value = f", {notation.probability(control.paired.p_value)}" if control.paired else ""
    epochs = f"{control.total_epochs} epochs of training"
    if control.total_epochs != row.total_epochs:
        epochs += f" where this had {row.total_epochs}"
    return f"against the control {control.variant} ({epochs}): {row.metric} {_change(row, control.quality)}{p_value}"


def beats(row: Row, beside: Beside) -> bool:
    """Whether a variant is surely better than a yardstick."""
    assert row.quality is not None  # as of every pair that is ok
    sure = beside.paired is None or beside.paired.p_value < SIGNIFICANT
    return sure and row.gain(row.quality, beside.quality) > 0


def yardstick(row: Row, beside: Beside) -> str:
    """Whether the variant is worth a network: how it stands beside something simple."""
    assert row.quality is not None  # as of every pair that is ok
    gain, paired = row.gain(row.quality, beside.quality), beside.paired
    detail = f"{row.metric} {_change(row, beside.quality)}"
    detail += f", {notation.probability(paired.p_value)}" if paired else " (no paired test)"
    if paired and paired.p_value >= SIGNIFICANT:
        return f"cannot be told from the yardstick {beside.name} ({detail})"
    word = "beats" if gain > 0 else "loses to" if gain < 0 else "is no better than"
    return f"{word} the yardstick {beside.name} ({detail})"


def _size(subject: Subject, base: Subject) -> str:
    raw, packed = (getattr(base.artifact, key) / getattr(subject.artifact, key) for key in ("bytes", "gzip_bytes"))
    return notation.file(raw, packed)


def _bound(m: Measurement) -> list[str]:
    """What limits a token, where it was measured how fast the memory is."""
    about = m.told_by.details
    if "memory_gb_s" not in about:
        return []
    share = about["read_gb_s"] / about["memory_gb_s"]
    told = f"a token reads {about['read_gb_s']:.3g} GB/s, {share:.0%} of what this memory gives"
    return [f"{told}: {LIMITS[about['bound']]}"]


def _lossy(row: Row, base: Subject | None) -> list[str]:
    """Integers throughout that cost much, whether or not so few examples can tell it from chance."""
    test = _test(row, base) if base else None
    scheme = SCHEMES.load(row.scheme)
    if test is None or row.quality is None or row.unit != "share" or not scheme.static:
        return []
    if row.gain(row.quality, test.value) >= -LOSSY:
        return []
    some = ", and `max_quality_drop` the layers that lose most" if "max_quality_drop" in scheme.takes else ""
    lost = f"more than {100 * LOSSY:g} points of {row.metric} are lost, with integers throughout"
    return [f"lossy: {lost}: scheme `dynamic` keeps activations in floats{some}"]


def _flags(row: Row) -> list[str]:
    m = row.measurement
    told = []
    if "noisy" in m.flags:
        cv = m.latency.window_cv if m.latency is not None else None
        told.append("noisy: the windows differ" + (f" by {100 * cv:.0f} % (CV)" if cv is not None else ""))
    if "crowded" in m.flags:
        told.append("crowded: other work of the machine shows in the mean and the tail")
    if "drift" in m.flags:
        told.append("drift: the reference ran at another level than in earlier runs here")
    return told
