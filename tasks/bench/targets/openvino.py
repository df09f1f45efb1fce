"""A processor of this machine through OpenVINO, which reads the artifact as it is."""

from dataclasses import replace

from tasks.bench import agreement, meters, timed
from tasks.bench.targets import Request, Result
from tasks.bench.transport import Local, Session
from tasks.devices import Processor


def measure(request: Request) -> Result:
    """Measure one pair, and answer the splits with the kernels that were timed.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference, or computes something else.
        DeviceError: a window crashed or did not end.
    """
    device = request.device
    assert isinstance(device, Processor)
    ready = setup(device, Local())
    agreement.check(request, ready)
    return replace(timed.measure(request, ready), outputs=timed.outputs(request, ready))


def setup(device: Processor, session: Session) -> timed.Setup:
    """How the runtime is asked, here or elsewhere."""
    return timed.Setup(
        session=session,
        runtime="openvino",
        options={"threads": device.threads},
        energy=meters.HOST,
        watts_per_core=device.watts_per_core,
        profiles=True,
        describe=True,
    )
