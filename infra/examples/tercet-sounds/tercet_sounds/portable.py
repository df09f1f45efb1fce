"""This machine's processor, by LiteRT's kernels in plain C++: what one is worth that nobody has tuned kernels for."""

from pathlib import Path

from tasks.bench import meters, reach, same_answers, shipping
from tasks.bench.device import Processor, too_few_cpus
from tasks.bench.kinds import Kind
from tasks.bench.setup import Setup
from tasks.bench.transport import Session

RESOURCES = ("portable_runtime.py",)  # what no import shows: its content counts in what makes figures old
CODE = Path(__file__).with_name(RESOURCES[0])


class Portable(Processor):
    """What the file of such a device says: the threads, and what a core takes where no counter can be read."""


def setup(device: Processor, session: Session) -> Setup:
    """How the runtime is asked, here or on another machine: its file is sent there."""
    options = {"threads": device.threads}
    return Setup(session, "portable", options, meters.HOST, device.watts_per_core, code=CODE)


KIND = Kind(
    schema=Portable,
    package="ai-edge-litert",
    usable=too_few_cpus,
    probe=reach.runner("portable", CODE),
    measure=same_answers.measure,
    setup=setup,
    ships=shipping.processor,
    here=True,
    dense=True,
)
