"""What others have published of the same network on the same board, where it warns: in sentences of a verdict. Pure."""

from collections.abc import Iterable, Sequence

from tasks.records import Published, Row, notation

LITTLE = 0.1  # a gain below that is none worth the name
CHANNEL, TENSOR = "PER-CHANNEL", "PER-TENSOR"  # as the one source that tells both calls them


def others(row: Row, device: Sequence[Row]) -> list[str]:
    """Where less precision, an accelerator or finer scales bring little or nothing, as published.

    Args:
        row: the variant on the device.
        device: all rows of that device, `row` among them.
    """
    own = row.measurement.published
    anchor = next((each for each in device if each.variant == row.anchor and each is not row), None)
    found = _against(own, anchor.measurement.published, anchor.variant) if anchor else []
    return [*found, *_accelerator(own), *_scales(own)]


def _against(own: Iterable[Published], other: Iterable[Published], name: str) -> list[str]:
    """By each runtime that is published at both kinds of numbers, as it was run."""
    theirs = _quickest(other)
    pairs = [(p, theirs[p.ran_on]) for p in _quickest(own).values() if p.ran_on in theirs]
    pairs = [(p, q) for p, q in pairs if p.precision != q.precision]
    poor = [f"{_pair(p, q)} by {p.ran_on}" for p, q in pairs if p.latency_ms > (1 - LITTLE) * q.latency_ms]
    if not poor:
        return []
    rest = len(pairs) - len(poor)
    more = f"; by {rest} other{'s' if rest > 1 else ''} more" if rest else ""
    return [
        f"others have published that this precision gains little or nothing here on {name}'s: {'; '.join(poor)}{more}"
    ]


def _accelerator(own: Iterable[Published]) -> list[str]:
    found = _quickest(own).values()
    plain = min((p for p in found if p.ran_on.startswith("CPU")), key=_ms, default=None)
    special = min((p for p in found if p.ran_on.startswith("NPU")), key=_ms, default=None)
    if plain is None or special is None or special.latency_ms <= (1 - LITTLE) * plain.latency_ms:
        return []
    return [
        f"others have published that the accelerator gains little or nothing here on the processor: "
        f"{_pair(special, plain)}, by {special.ran_on}"
    ]


def _scales(own: Iterable[Published]) -> list[str]:
    """Of weights: a scale for each channel against one for the tensor."""
    fine, coarse = ([p for p in own if p.network.endswith(word)] for word in (CHANNEL, TENSOR))
    slow = [(p, q) for p in fine for q in coarse if p.ran_on == q.ran_on and p.latency_ms > q.latency_ms]
    return [
        f"others have published that one scale a channel takes {notation.ratio(p.latency_ms / q.latency_ms)} times as"
        f" long here as one a tensor: {_pair(p, q)}, by {p.ran_on}"
        for p, q in slow[:1]
    ]


def _quickest(found: Iterable[Published]) -> dict[str, Published]:
    """Of each runtime, as it was run."""
    best: dict[str, Published] = {}
    for each in found:
        if each.ran_on not in best or each.latency_ms < best[each.ran_on].latency_ms:
            best[each.ran_on] = each
    return best


def _ms(each: Published) -> float:
    return each.latency_ms


def _pair(one: Published, other: Published) -> str:
    return f"{notation.significant(one.latency_ms)} ms against {notation.significant(other.latency_ms)}"
