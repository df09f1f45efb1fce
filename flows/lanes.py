"""What of a run works beside what: a stage passes through its lane, which lets one, or so many, through at a time."""

import os
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from threading import BoundedSemaphore, Lock
from typing import Any

from tasks.bench import devices
from tasks.bench.kinds import KINDS

Lane = AbstractContextManager[Any]
_tensorflow = Lock()  # its seeds and its graph are the process's: one such stage at a time
_quiet = Lock()  # between two measurements DVC has work to do, which must not fall into a third
_processors = BoundedSemaphore(os.cpu_count() or 1)  # for stages that compute in a process of their own
_elsewhere: defaultdict[str, Lane] = defaultdict(Lock)  # by device: its pairs wait for it and for nothing here
LANES: dict[str, Lane] = {
    "train": _tensorflow,
    "compress": _tensorflow,
    "quantize": _tensorflow,
    "evaluate": _processors,
    "yardstick": _processors,
    "benchmark": _processors,
}


def of(name: str, *keys: str) -> Lane:
    """The lane of a stage.

    A pair on this machine is measured alone. One on another machine waits for that machine: it takes no processor
    here, and a device that is slow or away holds up its own pairs only. An estimate is a computation like any other.

    Args:
        name: of the stage.
        keys: what it is fanned out over; of a benchmark the variant and the device.
    """
    if name != "benchmark":
        return LANES.get(name, nullcontext())
    _, device = keys
    kind = KINDS.load(devices.load(device).kind)
    if kind.here:
        return _quiet
    return _elsewhere[device] if kind.measures else _processors
