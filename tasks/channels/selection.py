"""Choosing the dependency groups that stay: the most important ones within a budget, or given widths."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from tasks.channels.groups import Channels, Ids, Kept
from tasks.channels.saliency import Scores
from tasks.errors import ModelError, suggest

Scope = Literal["global", "uniform"]
TRIES = 64  # so many units are tried to take back, of those that went last
FLOOR = 1 / 8  # of a block stays at least: a layer cut to next to nothing is a bottleneck that training cannot undo


def order(channels: Channels, scores: Scores, scales: Sequence[float], scope: Scope, multiple: int) -> list[Ids]:
    """The units of groups that can go, the first to go first.

    Args:
        channels: the groups; those of one block can stand in for one another.
        scores: by group.
        scales: by block: what its scores are divided by, so that they compare with those of other blocks.
        scope: global: the lowest of all scores first; uniform: the blocks shrink by the same share.
        multiple: blocks shrink in steps that leave a multiple of it; narrow ones in smaller powers of two, at most half
            of them at once.
    """
    units: list[tuple[float, int, Ids]] = []
    for number, (block, scale) in enumerate(zip(channels.blocks, scales, strict=True)):
        ranked = block[np.argsort(scores[block], kind="stable")]
        step = min(multiple, 1 << max(0, len(block).bit_length() - 2))
        floor = -(-math.ceil(len(block) * FLOOR) // step) * step
        ends = [len(block) - kept for kept in range(floor, len(block), step)][::-1]
        for start, end in zip([0, *ends], ends, strict=False):
            key = end / len(block) if scope == "uniform" else float(scores[ranked[start:end]].mean()) / scale
            units.append((key, number, ranked[start:end]))
    # within a block, later units score at least as high, so sorting leaves them in their order
    return [unit for _, _, unit in sorted(units, key=lambda unit: unit[:2])]


def by_share(channels: Channels, units: list[Ids], cost: Callable[[Kept], float], limit: float, slack: float) -> Kept:
    """Let as few of the first units go as bring the cost to at most `limit`; then take back those that still fit.

    Args:
        channels: the groups.
        units: as `order` gives them.
        cost: of what is kept, falling with every unit that goes.
        limit: in the unit of the cost.
        slack: a cost so little under the limit is as good, and ends the search: for one that takes long to find out.

    Returns:
        The groups that stay; the cost is over the limit only where even letting all units go does not reach it.
    """
    low, high = 0, len(units)
    while low < high:
        middle = (low + high) // 2
        found = cost(kept := without(channels, units[:middle]))
        if limit - slack < found <= limit:
            return kept
        low, high = (low, middle) if found <= limit else (middle + 1, high)
    kept = without(channels, units[:low])
    for unit in reversed(units[max(0, low - TRIES) : low] if not slack else []):
        kept[unit] = True
        if cost(kept) > limit:
            kept[unit] = False
    return kept


def without(channels: Channels, units: list[Ids]) -> Kept:
    """All groups but those of `units`."""
    kept = channels.everything()
    for unit in units:
        kept[unit] = False
    return kept


def by_widths(channels: Channels, widths: Mapping[str, int], scores: Scores) -> Kept:
    """Let each layer named keep the so many channels (heads, of an attention) of the highest scores.

    Raises:
        ModelError: a layer makes no channels, has fewer, must keep them all, or shares them with another one that is
            to keep another number.
    """
    kept = channels.everything()
    for name, width in widths.items():
        if name not in channels.made:
            raise ModelError(f"slim: widths: no layer that makes channels is named {name!r}; {_names(channels, name)}")
        made = channels.made[name]
        if width > len(made):
            raise ModelError(f"slim: widths.{name}: received {width}; the layer has {len(made)}")
        _narrow(channels, kept, name, width, scores)
    for name, width in widths.items():
        if (reached := np.count_nonzero(kept[channels.made[name]])) != width:
            raise ModelError(
                f"slim: widths.{name}: received {width}; it shares channels with other layers of `widths`, "
                f"which leave it {reached}; give layers that are added the same width"
            )
    return kept


def _narrow(channels: Channels, kept: Kept, name: str, width: int, scores: Scores) -> None:
    """Let the channels of lowest score go until the layer has `width`."""
    groups, sizes = np.unique(channels.made[name], return_counts=True)
    size = dict(zip(groups.tolist(), sizes.tolist(), strict=True))
    left = int(np.count_nonzero(kept[channels.made[name]]))
    for group in groups[np.argsort(scores[groups], kind="stable")].tolist():
        if kept[group] and group not in channels.fixed and left - size[group] >= width:
            kept[group] = False
            left -= size[group]
    if left > width:
        fixed = next((channels.fixed[group] for group in size if group in channels.fixed), None)
        reason = f"some of its channels {fixed}" if fixed else "its channels go in larger sets"
        raise ModelError(f"slim: widths.{name}: received {width}; {reason}, so at least {left} stay")


def _names(channels: Channels, received: str) -> str:
    free = [name for name, made in channels.made.items() if any(group not in channels.fixed for group in made)]
    return suggest(received, free)
