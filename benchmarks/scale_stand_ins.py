"""What stands in where scale.py asks for many: devices that only wait, and variants that are copies of the first one.

The kind of device is a plug-in that scale.py alone makes known, to its own projects. A variant that is a copy has its
name behind its end, so that DVC and MLflow have as many files as they would. Nothing here is measured, and no figure of
such a device says anything of a network.

    python scale_stand_ins.py tercet run …     the command, with the stages of copies replaced
"""

import shutil
import sys
import time
from pathlib import Path
from typing import Any, Literal

from tasks import files, paths, stages
from tasks.bench import shipping
from tasks.bench.device import Device
from tasks.bench.kinds import Kind
from tasks.bench.request import Artifact, Request, Result
from tasks.bench.setup import Shipped
from tasks.params import Params
from tasks.records import Latency

FIRST = "fp32"  # the variant that is really made


class Simulated(Device):
    """No device: it waits for a stated time, and answers what it waited."""

    kind: Literal["simulated"]
    service_s: float


def measure(request: Request) -> Result:
    """Wait."""
    assert isinstance(request.device, Simulated)
    time.sleep(request.device.service_s)
    latency = Latency(provenance="none", ms_p50=request.device.service_s * 1e3)
    return Result(request.result(status="ok", latency=latency, stand_in="nothing: a device that only waits"))


def ships(artifact: Artifact, device: Device, folder: Path) -> Shipped:
    """The artifact, which is run nowhere."""
    return shipping.interpreted(artifact, folder, "no runtime", f"nothing runs on {device.name}")


KIND = Kind(schema=Simulated, measure=measure, ships=ships, board=lambda device: device.name)


def quantize(params: Params, variant: str) -> None:
    """A copy of the first variant, with its own name behind the file's end, where no reader looks."""
    if variant == FIRST:
        from tasks.stages.quantize import quantize as make

        make(params, variant)
        return
    with files.replaced(paths.artifact(variant)) as folder:
        shutil.copytree(paths.artifact(FIRST), folder)
        card = files.read_json(folder / "card.json")
        with (folder / card["file"]).open("ab") as file:
            file.write(variant.encode())
        about = {"variant": variant, "sha256": files.sha256(folder / card["file"])}
        files.write_json(folder / "card.json", {**card, **about})


def evaluate(params: Params, variant: str) -> None:
    """The answers of the first variant, which are this one's too."""
    if variant == FIRST:
        from tasks.stages.evaluate import evaluate as judge

        judge(params, variant)
        return
    of: dict[str, Any] = files.read_json(paths.evaluation(FIRST))
    sha256 = files.read_json(paths.artifact(variant) / "card.json")["sha256"]
    files.write_json(paths.evaluation(variant), {**of, "variant": variant, "artifact_sha256": sha256})


def main() -> None:
    from flows import cli

    name = Path(__file__).stem
    stages.STAGES.update(quantize=f"{name}:quantize", evaluate=f"{name}:evaluate")
    sys.argv = sys.argv[1:]
    cli.console()


if __name__ == "__main__":
    main()
