"""Which channels of a network belong together, so that they can only be removed together.

Dependency groups as in G. Fang et al., "DepGraph: Towards Any Structural Pruning" (2023), found on the graph of Keras
layers: the last axis of every tensor is an array of channel numbers. A layer with a kernel makes new ones, most layers
hand theirs on, an addition unites those of its inputs one by one, and what has to stay is fixed. What is united in the
end is a group: all slices of all weights that one decision removes. What each layer does stands in rules.py, the walk
over the graph in tracing.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.errors import ModelError

Ids = NDArray[np.int64]  # a channel, later a group, for each place of an axis
Kept = NDArray[np.bool_]  # whether each group stays
Shape = tuple[int | None, ...]  # without the batch axis
Role = Literal["makes", "reads", "follows"]


@dataclass(frozen=True)
class Cut:
    """One axis of one weight, each place of which belongs to a channel."""

    weight: int  # its position in the layer's weights
    axis: int
    channels: Ids
    role: Role  # whether the layer makes these channels, mixes them into others, or only scales or filters each


@dataclass(frozen=True)
class Resize:
    """A number of channels in a layer's configuration."""

    key: str
    lead: Shape | None  # where the key holds a shape: what stands before the number
    channels: Ids


@dataclass(frozen=True)
class Call:
    """One use of a layer: the channels and the shapes of what it reads and writes."""

    layer: Any
    inputs: tuple[Ids, ...]
    shapes: tuple[Shape, ...]
    output: Ids
    output_shape: Shape


@dataclass(frozen=True)
class Channels:
    """The dependency groups of a network; channels are numbered by group."""

    cuts: dict[str, tuple[Cut, ...]]  # by layer
    resizes: dict[str, tuple[Resize, ...]]  # by layer
    calls: tuple[Call, ...]  # in the order in which they run
    made: dict[str, Ids]  # by layer: the channels that it makes; heads, of an attention
    fixed: dict[int, str]  # groups that stay, and what asks for it
    blocks: tuple[Ids, ...]  # the groups that may go, those with the same makers together
    groups: int

    def everything(self) -> Kept:
        """All groups stay."""
        return np.ones(self.groups, bool)


class Tracer:
    """Collects what the rules say about the layers, one after the other."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self.cuts: dict[str, list[Cut]] = {}
        self.resizes: dict[str, list[Resize]] = {}
        self.made: dict[tuple[str, str], Ids] = {}  # by layer and key of its configuration
        self.fixed: dict[int, str] = {}
        self.calls: list[Call] = []

    def new(self, count: int) -> Ids:
        """So many channels that nothing else depends on yet."""
        start = len(self._parents)
        self._parents += range(start, start + count)
        return np.arange(start, start + count)

    def make(self, owner: Any, key: str, count: int) -> Ids:
        """The channels that a layer makes, whose number `key` of its configuration holds.

        A layer that is used again makes the same ones: it has one kernel.
        """
        if (owner.name, key) not in self.made:
            self.made[owner.name, key] = self.new(count)
            self.resize(owner, key, self.made[owner.name, key])
        return self.made[owner.name, key]

    def unite(self, first: Ids, *others: Ids) -> Ids:
        """Let the channels at each place stay or go together; all arrays have the same length."""
        for other in others:
            for one, two in zip(first, other, strict=True):
                self._parents[self.root(int(one))] = self.root(int(two))
        return first

    def root(self, channel: int) -> int:
        """The channel that stands for all that are united with this one."""
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def fix(self, channels: Ids, why: str) -> Ids:
        """Let channels stay; `why` completes "its channels …"."""
        for channel in channels:
            self.fixed.setdefault(int(channel), why)
        return channels

    def cut(self, owner: Any, weight: Any, axis: int, channels: Ids, role: Role) -> None:
        """Say whom the places of a weight's axis belong to; where a layer is used again, to both."""
        if weight is None:
            return
        cuts = self.cuts.setdefault(owner.name, [])
        position = next(i for i, variable in enumerate(owner.weights) if variable is weight)
        axis %= len(weight.shape)
        for known in cuts:
            if (known.weight, known.axis) == (position, axis):
                self.unite(known.channels, channels)
                return
        cuts.append(Cut(position, axis, channels, role))

    def resize(self, owner: Any, key: str, channels: Ids, lead: Shape | None = None) -> None:
        """Say that `key` of a layer's configuration counts these channels; where it is used again, both."""
        resizes = self.resizes.setdefault(owner.name, [])
        for known in resizes:
            if known.key == key:
                self.unite(known.channels, channels)
                return
        resizes.append(Resize(key, lead, channels))

    def finish(self) -> Channels:
        """The groups, numbered in the order in which the network makes them."""
        roots = np.array([self.root(channel) for channel in range(len(self._parents))], np.int64)
        _, first, inverse = np.unique(roots, return_index=True, return_inverse=True)
        rank = np.empty_like(first)
        rank[np.argsort(first, kind="stable")] = np.arange(len(first))
        group = rank[inverse]
        made = {layer: group[ids] for (layer, key), ids in self.made.items() if key != OUTPUTS}
        fixed: dict[int, str] = {}
        for channel, why in self.fixed.items():
            fixed.setdefault(int(group[channel]), why)
        makers = [group[ids] for ids in self.made.values()]
        return Channels(
            cuts={k: tuple(Cut(c.weight, c.axis, group[c.channels], c.role) for c in v) for k, v in self.cuts.items()},
            resizes={k: tuple(Resize(r.key, r.lead, group[r.channels]) for r in v) for k, v in self.resizes.items()},
            calls=tuple(
                Call(c.layer, tuple(group[ids] for ids in c.inputs), c.shapes, group[c.output], c.output_shape)
                for c in self.calls
            ),
            made=made,
            fixed=fixed,
            blocks=_blocks(makers, len(first), fixed),
            groups=len(first),
        )


OUTPUTS = "output_shape"  # the key of what an attention makes beside its heads


@dataclass(frozen=True)
class Visit:
    """One use of a layer, as its rule sees it."""

    owner: Any  # the layer of the graph: it has the name, and the weights
    layer: Any  # the same, or what it wraps
    node: Any  # of the Keras graph
    inputs: tuple[Ids, ...]  # of the tensors in the first argument
    shapes: tuple[Shape, ...]  # likewise
    read: dict[int, Ids]  # of the tensors in all arguments, by the tensor's id
    output: int  # the tensor's id
    output_shape: Shape

    def refuse(self, why: str) -> ModelError:
        """The error that this layer cannot be slimmed."""
        kind = type(self.layer).__name__
        return ModelError(f"slim: layer {self.owner.name!r} ({kind}) {why}")


def _blocks(makers: Sequence[Ids], groups: int, fixed: Iterable[int]) -> tuple[Ids, ...]:
    """The groups that may go, by the layers that make them: groups of one block can stand in for one another."""
    signatures: list[list[int]] = [[] for _ in range(groups)]
    for maker, ids in enumerate(makers):
        for group in np.unique(ids):
            signatures[group].append(maker)
    found: dict[tuple[int, ...], list[int]] = {}
    for group in sorted(set(range(groups)) - set(fixed)):
        found.setdefault(tuple(signatures[group]), []).append(group)
    return tuple(np.array(block, np.int64) for block in found.values())
