"""A processor of this machine through OpenVINO, which reads the artifact as it is."""

from tasks.bench import meters, reach, same_answers, shipping
from tasks.bench.device import Processor, too_few_cpus
from tasks.bench.kinds import Kind
from tasks.bench.setup import Setup
from tasks.bench.transport import Session
from tasks.formats import tflite


class OpenVino(Processor):
    """This machine's processor, which runs the artifact through OpenVINO, which reads it as it is."""


RESOURCES = ("../runner/openvino.py",)


def setup(device: Processor, session: Session) -> Setup:
    """How the runtime is asked, here or elsewhere."""
    return Setup(
        session=session,
        runtime="openvino",
        options={"threads": device.threads},
        energy=meters.HOST,
        watts_per_core=device.watts_per_core,
        model=lambda artifact: tflite.checked(artifact.path, "OpenVINO"),
        profiles=True,
        describe=True,
    )


KIND = Kind(
    schema=OpenVino,
    package="openvino",
    usable=too_few_cpus,
    probe=reach.runner("openvino"),
    measure=same_answers.measure,
    setup=setup,
    ships=shipping.processor,
    here=True,
    own_kernels=True,
    dense=True,
    schemes=("float32", "float16", "dynamic", "int8"),
)
