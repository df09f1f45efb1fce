"""What recurrent layers do with channels: a unit's state is read by every gate of every unit in the next step."""

import numpy as np

from tasks.channels.groups import Ids, Tracer, Visit

GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}  # that lie side by side in each weight


def units(tracer: Tracer, visit: Visit) -> Ids:
    """A unit goes from all gates that make it, and from all that read what it was a step before."""
    layer, owner = visit.layer, visit.owner
    if len(visit.read) != 1:
        raise visit.refuse("is given its first state, which is not followed")
    made = tracer.make(owner, "units", layer.units)
    gates = np.tile(made, GATES[type(layer).__name__])
    tracer.cut(owner, layer.cell.kernel, 0, visit.inputs[0], "reads")
    tracer.cut(owner, layer.cell.kernel, 1, gates, "makes")
    tracer.cut(owner, layer.cell.recurrent_kernel, 0, made, "reads")
    tracer.cut(owner, layer.cell.recurrent_kernel, 1, gates, "makes")
    tracer.cut(owner, layer.cell.bias, -1, gates, "makes")  # a GRU may have two rows, one for each kernel
    return made
