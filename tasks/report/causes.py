"""Why a variant is no faster on a device, where the records tell: what ran each operator, what the meter says. Pure."""

from collections.abc import Sequence

from tasks.bench.kinds import KINDS
from tasks.formats.schemes import SCHEMES
from tasks.params import is_baseline
from tasks.records import Measurement, Row, Subject, notation
from tasks.ship.speed import NEGLIGIBLE

KEPT = {"sparsity": "zeros", "clusters": "shared values"}
LITERT = "ai-edge-litert"  # the runtime, as records have it
NO_GAIN = ("no change", "slower")
CONVERSIONS = ("QuantizeLinear", "DequantizeLinear", "QUANTIZE", "DEQUANTIZE", "Convert", "FakeQuantize", "Reorder")
MUCH = 0.2  # of the operators' time
IDLING = 0.05  # active power above idle power, as a share: the device had next to nothing to do


def causes(row: Row, device: Sequence[Row], subject: Subject) -> list[str]:
    """The likely causes of a missing gain.

    Args:
        row: the variant on the device.
        device: all rows of that device, `row` among them.
        subject: the variant's cards.
    """
    m = row.measurement
    found = _scales(m)
    if str(m.environment.get("runtime", "")).startswith(LITERT):
        found += _litert(row, subject) or _outside(row, device)
    if KINDS.load(m.device_kind).dense:
        found += _weights(row, device, subject)
    if row.outcome in NO_GAIN:
        found += [*_conversions(m), *_reference_kernels(m), *_launches(m)]
    return found


def _litert(row: Row, subject: Subject) -> list[str]:
    expanded = subject.artifact.operators.get("DEQUANTIZE", 0)
    scheme = SCHEMES.load(row.scheme)
    if scheme.halves and expanded and row.outcome in NO_GAIN:
        return [f"likely cause: {expanded} float16 tensors are expanded to float32 when the model loads"]
    if scheme.activations == "int16" and row.outcome in NO_GAIN:
        return ["likely cause: this runtime has no optimised kernels for int16×8"]
    return []


def _outside(row: Row, device: Sequence[Row]) -> list[str]:
    """Operators that XNNPACK has no kernel for in this variant's numbers, though it has in the reference's."""
    anchor = next((each for each in device if each.variant == row.anchor), None)
    own, other = (each and each.measurement.details.get("delegate") for each in (row, anchor))
    if row.outcome not in NO_GAIN or not own or not other:
        return []
    kinds = {kind: count for kind, count in own["outside"].items() if count > other["outside"].get(kind, 0)}
    more = sum(count - other["outside"].get(kind, 0) for kind, count in kinds.items())
    if not more:
        return []
    between = f", between {own['parts']} parts that it does run" if own["parts"] > 1 else ""
    return [
        f"likely cause: of {own['operators']} operators {more} more than of {row.anchor} have no kernel of XNNPACK's "
        f"and run on LiteRT's own{between}: {', '.join(kinds)}"
    ]


def _weights(row: Row, device: Sequence[Row], subject: Subject) -> list[str]:
    """No sparse kernel: zeros and shared values cost as much as any other weights."""
    twin = _twin(row, device)
    if not subject.model.preserves or twin is None or _faster_than(row, twin):
        return []
    what = " and ".join(KEPT[kept] for kept in subject.model.preserves)
    packed = notation.factor(twin.gzip_bytes / row.gzip_bytes)
    if subject.artifact.operators.get("DENSIFY"):  # what a sparse file holds for a kernel that needs all weights
        raw = notation.factor(twin.bytes / row.bytes)
        return [
            f"no faster than {twin.variant}: this runtime fills in the zeros that the file leaves out when it loads, "
            f"and computes them like any other weights, so the gain is in the file alone ({raw}, {packed} under gzip "
            f"than {twin.variant})"
        ]
    return [
        f"no faster than {twin.variant}: this runtime computes {what} like any other weights, "
        f"so the gain is in the download alone ({packed} under gzip than {twin.variant})"
    ]


def _scales(m: Measurement) -> list[str]:
    """Integer weights whose scales are not shared as the device's kernels want them."""
    found = m.details.get("scales")
    if not found or found["has"] == found["wants"]:
        return []
    wants = found["wants"]
    return [
        f"its weights have one scale a {found['has']} and this device wants one a {wants}: "
        f"add a variant of `granularity: {wants}`"
    ]


def _conversions(m: Measurement) -> list[str]:
    """Numbers that are only turned into others."""
    total = sum(operator.ms or 0.0 for operator in m.operators)
    spent = sum(operator.ms or 0.0 for operator in m.operators if operator.kind in CONVERSIONS)
    if not total or spent / total < MUCH:
        return []
    return [f"likely cause: {spent / total:.0%} of the operators' time goes into converting numbers, not computing"]


def _reference_kernels(m: Measurement) -> list[str]:
    """Operators that this processor has no kernel of its own for."""
    plain = [operator.kind for operator in m.operators if (operator.ran_on or "").startswith("ref")]
    if not plain:
        return []
    return [f"likely cause: {len(plain)} operators run on reference kernels: {', '.join(sorted(set(plain)))}"]


def _launches(m: Measurement) -> list[str]:
    """A GPU that draws hardly more than when idle waits for its next launch."""
    own = [w for w in m.windows if w.variant == m.variant and w.idle_w and w.active_w]
    if not own or m.energy.kind != "counter_nvml":
        return []
    share = max(w.active_w / w.idle_w - 1 for w in own if w.active_w and w.idle_w)
    if share > IDLING:
        return []
    return [f"likely cause: launch-bound: the GPU draws only {max(share, 0):.0%} more than idle, so it mostly waits"]


def _twin(row: Row, device: Sequence[Row]) -> Row | None:
    """The same scheme without compression, on the same device."""
    same = [r for r in device if r.scheme == row.scheme and is_baseline(r.model) and r.measurement.status == "ok"]
    return same[0] if same and not is_baseline(row.model) else None


def _faster_than(row: Row, twin: Row) -> bool:
    """Whether `row` is faster than its twin beyond doubt: their intervals against the reference are apart."""
    own, other = row.speed, twin.speed
    if any(known is not None and known.few for known in (own, other)):
        return True  # nothing can be said
    if twin.variant == row.anchor:
        return row.outcome == "faster"
    if own is None or other is None or own.high is None or other.low is None:
        return True  # nothing can be said
    return own.high < other.low and own.ratio < (1 - NEGLIGIBLE) * other.ratio
