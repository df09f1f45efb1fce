"""What reading a model may take: variables for the weights that the file holds, tensors of a sane size, some time."""

import math
import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.errors import ModelError

SLACK = 1 << 20  # numbers that layers may keep beside their weights, such as the states of their random generators
LARGEST = 1 << 28  # numbers in a tensor of one example: 1 GiB of float32
CPU_S = 120.0  # NASNetLarge, with 1,041 layers the largest of tf_keras.applications, takes 17 s
MEMORY = 0.5  # of the machine's, beyond what this process has already


@contextmanager
def budget(numbers: int) -> Iterator[None]:
    """Let Keras make variables for so many numbers and no more, and build for so long and no longer.

    Each variable is looked at before its memory is asked for.

    Args:
        numbers: that the weights of the model's file are.

    Raises:
        ModelError: the model asks for more; the message does not name the file.
    """
    import tensorflow as tf

    left = numbers + SLACK

    def counted(create: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= _size(kwargs.get("shape"), kwargs.get("initial_value"))
        if left < 0:
            raise ModelError(f"its layers ask for more than the {numbers:,} numbers that its weights are")
        return create(**kwargs)

    with tf.variable_creator_scope(counted), _seconds(), _memory():
        yield


def _size(shape: Any, value: Any) -> int:
    """How many numbers a variable is to hold: of its shape, or of the array that it starts with."""
    sizes = shape if shape is not None else getattr(value, "shape", ())
    try:
        return math.prod(1 if size is None else int(size) for size in sizes)
    except (TypeError, ValueError):  # a shape that is not known yet
        return 0


@contextmanager
def _seconds() -> Iterator[None]:
    """A limit of processor time: a description can ask for loops of any length."""
    if threading.current_thread() is not threading.main_thread():  # where signals do not arrive
        yield
        return

    def stop(_signal: int, _frame: Any) -> None:
        raise ModelError(f"its layers could not be put together within {CPU_S:.0f} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _memory() -> Iterator[None]:
    """A limit of memory, where the system has one: what no check foresaw ends this process and not the machine."""
    status = Path("/proc/self/status")
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft != resource.RLIM_INFINITY or not status.exists():
        yield
        return
    used = next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if line.startswith("VmData"))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_DATA, (used + int(MEMORY * total), hard))
    try:
        yield
    except MemoryError:
        raise ModelError("its layers ask for more memory than this machine can spare") from None
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def check_sizes(path: Path, model: Any) -> None:
    """Check what each layer gives for one example, axes of unknown size left out.

    The first axis counts too: an operator may put anything there. A batch of a fixed size is so many examples.

    Raises:
        ModelError: a tensor is so large that running the model would take the machine's memory.
    """
    import tensorflow as tf

    batch = next((tensor.shape[0] for tensor in model.inputs or () if tensor.shape.rank), None) or 1
    for layer in model.layers:
        if hasattr(layer, "layers"):
            check_sizes(path, layer)
        for node in layer._inbound_nodes:
            for tensor in tf.nest.flatten(node.outputs):
                size = math.prod(size or 1 for size in tensor.shape) // batch if tensor.shape.rank else 1
                if size > LARGEST:
                    raise ModelError(
                        f"{path}: layer {layer.name!r} gives {size:,} numbers for one example; at most {LARGEST:,} "
                        "are taken from a file"
                    )
