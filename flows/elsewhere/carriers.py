"""Which stages of a run have their commands run elsewhere, and by whom."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from flows import lanes
from flows.elsewhere import pools, runners
from flows.elsewhere.asked import Asked
from flows.start.dvc_bridge import Carry

SPREAD = ("train", "compress", "quantize", "evaluate", "yardstick")  # stages that compute, and measure nothing


@dataclass(frozen=True)
class Carriers:
    """Who runs commands elsewhere.

    Attributes:
        computing: has those of `SPREAD` run; null: they are called here.
        measuring: has a device's benchmarks run, by its name.
    """

    computing: Carry | None = None
    measuring: Mapping[str, Carry] = field(default_factory=dict)

    def of(self, name: str, *keys: str) -> tuple[Carry | None, lanes.Lane]:
        """Who runs a stage's command, null: this process; and the lane that it waits for here."""
        if name == "benchmark":
            return self.measuring.get(keys[-1]), lanes.of(name, *keys)
        if name in SPREAD and self.computing:
            return self.computing, nullcontext()  # its workers have lanes of their own
        return None, lanes.of(name, *keys)


HERE = Carriers()


@contextmanager
def opened(runner: Asked, devices: Sequence[str]) -> Iterator[Carriers]:
    """Have those of a run as long as the block runs.

    Raises:
        ParamsError: the runner's cluster does not answer.
    """
    with runners.opened(runner) as computing:
        yield Carriers(computing, pools.found(devices))
