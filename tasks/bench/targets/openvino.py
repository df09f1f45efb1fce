"""A processor of this machine through OpenVINO, which reads the artifact as it is."""

from tasks import tflite
from tasks.bench import meters, timed
from tasks.bench.transport import Session
from tasks.devices import Processor


def setup(device: Processor, session: Session) -> timed.Setup:
    """How the runtime is asked, here or elsewhere."""
    return timed.Setup(
        session=session,
        runtime="openvino",
        options={"threads": device.threads},
        energy=meters.HOST,
        watts_per_core=device.watts_per_core,
        model=lambda artifact: tflite.checked(artifact.path, "OpenVINO"),
        profiles=True,
        describe=True,
    )
