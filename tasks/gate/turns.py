"""Whether it takes longer, or more energy: two artifacts by turns on the device, window by window."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from tasks.bench import shots, stats, timed
from tasks.bench.request import Request
from tasks.bench.setup import Setup
from tasks.bench.shots import Shot, Stretch
from tasks.errors import UnsupportedError
from tasks.gate.decide import Change, by_turns
from tasks.records import Phase
from tasks.records.figures import FIGURES, Figure


def measured(
    request: Request, setup: Setup, limits: Mapping[str, float], seconds: float
) -> dict[str, tuple[Change | None, int]]:
    """How much more the artifact of a request costs than its reference, by figure, and the turns behind it.

    A turn in which either had hardly any processor, or the clock jumped, does not count: `shots.Stretch.fault`.

    Args:
        request: the artifact as it is, and as its reference the one that was, under another name.
        setup: how the runtime is asked.
        limits: how much each figure may grow, as a share.
        seconds: that it may take.

    Raises:
        UnsupportedError: the runtime refuses one of them, they are driven in two ways, or nothing there tells time.
        DeviceError: a window crashed or did not end.
    """
    if request.artifact.card.scenario != request.reference.card.scenario:
        raise UnsupportedError("it is driven in another way than it was: one of the two keeps a state between calls")

    def take(turns: int) -> dict[str, list[float]]:
        protocol = request.protocol.model_copy(update={"windows": turns})
        taken = timed.shoot(replace(request, protocol=protocol), setup)
        if taken[-1].emulated:
            raise UnsupportedError("emulated: its time means nothing")
        return logarithms(taken, request.variant, limits, setup)

    return by_turns(take, limits, seconds)


def logarithms(taken: Iterable[Shot], variant: str, keys: Iterable[str], setup: Setup) -> dict[str, list[float]]:
    """Of each turn, by figure, the logarithm of what the variant cost over what the other one did."""
    turns = list(_pairs(list(taken), variant))
    found: dict[str, list[float]] = {}
    for key in keys:
        figure = FIGURES[key]
        if figure.turns is None:
            continue
        for own, other in turns:
            sides = [each for shot in (own, other) if (each := shot.phases.get(figure.turns.phase))]
            costs = _costs(figure, *sides, setup=setup) if len(sides) == 2 else None
            if costs:
                found.setdefault(key, []).append(math.log(costs[0] / costs[1]))
    return found


def _pairs(taken: list[Shot], variant: str) -> Iterator[tuple[Shot, Shot]]:
    """The two shots of each turn, the variant's first."""
    for place, (one, other) in enumerate(pairwise(taken)):
        if place % 2 == 0:
            yield (one, other) if one.variant == variant else (other, one)


def _costs(figure: Figure, own: Stretch, other: Stretch, *, setup: Setup) -> tuple[float, float] | None:
    """What two windows of a turn tell of a figure; null where one tells nothing, or is no measurement."""
    sides = (own, other)
    if any(each.fault(starved=0 if setup.offloads else shots.STARVED) is not None for each in sides):
        return None
    if figure.unit == "ms":  # as the ratio of a record
        return stats.floors(own.samples, other.samples, own.metered.window.period)
    assert figure.turns
    first, second = (figure.turns.window(Phase(volume=each.metered.window.volume), each.window()) for each in sides)
    return (first, second) if first and second else None
