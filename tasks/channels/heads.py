"""What layers of decoders do with channels that are numbers of heads, one head behind the other.

Heads whose keys and values several queries share (Ainslie et al., "GQA", 2023) go in whole groups: the keys and values,
all queries that they serve, and the rows behind them that read what these found.
"""

import numpy as np

from tasks.channels.groups import Ids, Tracer, Visit


def alone(tracer: Tracer, visit: Visit) -> Ids:
    """Each head by itself, by the same weights: it stays or goes whole, and the layer's `heads` are fewer."""
    (channels,) = visit.inputs
    firsts = channels[:: len(channels) // visit.layer.heads]
    tracer.unite(channels, np.repeat(firsts, len(channels) // len(firsts)))
    tracer.resize(visit.owner, "heads", firsts)
    return channels


def attended(tracer: Tracer, visit: Visit) -> Ids:
    """Queries, keys and values, and what does not hang from channels: the layer makes its `kv_heads`."""
    layer, (query, key, value, *_) = visit.layer, visit.inputs
    groups = tracer.make(visit.owner, "kv_heads", layer.kv_heads)
    for side in (query, key, value):
        tracer.unite(side, np.repeat(groups, len(side) // len(groups)))
    tracer.resize(visit.owner, "heads", np.repeat(groups, layer.heads // layer.kv_heads))
    return query
