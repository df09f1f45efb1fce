"""A processor of this machine through LiteRT."""

from tasks.bench import timed
from tasks.bench.runner import counters
from tasks.bench.targets import Request, Result
from tasks.bench.transport import Local
from tasks.devices import Litert


def measure(request: Request) -> Result:
    """Measure one pair; its accuracy is the evaluation's, which had the same kernels.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference.
        DeviceError: a window crashed or did not end.
    """
    device = request.device
    assert isinstance(device, Litert)
    setup = timed.Setup(
        session=Local(),
        runtime="litert",
        options={"kernels": "default", "threads": device.threads},
        energy={"powercap": counters.POWERCAP},
        watts_per_core=device.watts_per_core,
        model=lambda artifact: artifact.path,
    )
    return timed.measure(request, setup)
