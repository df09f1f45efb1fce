"""Whether another runtime computes what the artifact does, before its figures are taken for the artifact's."""

from dataclasses import replace

from tasks.bench import timed
from tasks.bench.targets import SETUPS, Request, Result
from tasks.bench.transport import Local
from tasks.distance import apart
from tasks.errors import UnsupportedError
from tasks.registry import resolve

# by scheme: how far the kernels of two runtimes may lie apart, as the root mean square of the difference over that of
# the outputs about their mean. Sums of floats differ in their order; int8 in the rounding of each layer; dynamic in
# that LiteRT rounds activations to int8 and others do not. Who computes int16x8 in 8 bits lies above its bound.
ALLOWED = {
    "float32": 1e-4,
    "float16": 1e-3,
    "dynamic": 0.1,
    "int8": 0.1,
    "int16x8": 5e-3,
    "int8-weights": 1e-3,
    "int4-weights": 1e-3,
    "int4-dynamic": 0.1,
    "as-is": 0.1,
}


def measure(request: Request) -> Result:
    """Measure one pair on this machine by a runtime that is not LiteRT, and answer the splits with its kernels.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference, or computes something else.
        DeviceError: a window crashed or did not end.
    """
    setup = resolve(SETUPS, request.device.kind, "runtime")(request.device, Local())
    check(request, setup)
    return timed.judge(request, setup)


def check(request: Request, setup: timed.Setup) -> None:
    """Compare a runtime's outputs with LiteRT's, here, on the examples to time with.

    Raises:
        UnsupportedError: they are too far apart for the scheme, or one of the two refuses the artifact.
        DeviceError: a prediction crashed.
    """
    litert = timed.Setup(
        Local(), "litert", {"kernels": "default", "threads": 1}, energy={}, watts_per_core=setup.watts_per_core
    )
    examples = replace(request, splits={"test": request.inputs})
    theirs, ours = (timed.outputs(examples, each)["test"] for each in (setup, litert))
    distance, scheme = apart(theirs, ours), request.artifact.card.scheme
    if not distance <= ALLOWED[scheme]:  # a distance that is no number is refused as well
        raise UnsupportedError(
            f"{request.variant}: {setup.runtime} does not compute what the file says: outputs of {len(ours)} examples "
            f"are {distance:.2g} of their spread from LiteRT's; {scheme} allows {ALLOWED[scheme]:g}"
        )
