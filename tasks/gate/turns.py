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
            sides = [shot.phases.get(figure.turns.phase) for shot in (own, other)]
            costs = [cost for each in sides if each and (cost := _cost(figure, each, setup)) is not None]
            if len(costs) == len(sides):
                found.setdefault(key, []).append(math.log(costs[0] / costs[1]))
    return found


def _pairs(taken: list[Shot], variant: str) -> Iterator[tuple[Shot, Shot]]:
    """The two shots of each turn, the variant's first."""
    for place, (one, other) in enumerate(pairwise(taken)):
        if place % 2 == 0:
            yield (one, other) if one.variant == variant else (other, one)


def _cost(figure: Figure, stretch: Stretch, setup: Setup) -> float | None:
    """What a window tells of a figure; null where it tells nothing, or is no measurement."""
    if stretch.fault(starved=0 if setup.offloads else shots.STARVED) is not None:
        return None
    window = stretch.metered.window
    if figure.unit == "ms":  # as the ratio of a record
        return stats.floor(stretch.samples, window.period)
    assert figure.turns
    return figure.turns.window(Phase(volume=window.volume), stretch.window()) or None
