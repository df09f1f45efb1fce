"""A processor of this machine through LiteRT."""

from tasks.bench import meters, reach, shipping, timed
from tasks.bench.device import Processor, too_few_cpus
from tasks.bench.kinds import Kind
from tasks.bench.request import Request, Result
from tasks.bench.setup import Setup
from tasks.bench.transport import Local, Session


class Litert(Processor):
    """This machine's processor, which runs the artifact through LiteRT."""


RESOURCES = ("../runner/litert.py", "../runner/language.py")


def measure(request: Request) -> Result:
    """Measure one pair; its accuracy is the evaluation's, which had the same kernels.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference.
        DeviceError: a window crashed or did not end.
    """
    device = request.device
    assert isinstance(device, Litert)
    return timed.measure(request, setup(device, Local()))


def setup(device: Processor, session: Session) -> Setup:
    """How the runtime is asked, here or elsewhere."""
    return Setup(
        session=session,
        runtime="litert",
        options={"kernels": "default", "threads": device.threads},
        energy=meters.HOST,
        watts_per_core=device.watts_per_core,
        generates="language",
    )


KIND = Kind(
    schema=Litert,
    package="ai-edge-litert",
    usable=too_few_cpus,
    probe=reach.runner("litert"),
    measure=measure,
    setup=setup,
    ships=shipping.processor,
    here=True,
    generates=True,
    dense=True,
)
