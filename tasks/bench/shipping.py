"""What of an artifact is shipped to a device: the very program that its figures are of, and what runs it.

Each kind of device says it in its own file, beside how it measures.
"""

import re
import shutil
from pathlib import Path

from tasks.bench import same_answers, timed
from tasks.bench.device import Device
from tasks.bench.devices import installed
from tasks.bench.kinds import KINDS
from tasks.bench.predict import Kernels, litert
from tasks.bench.request import Artifact
from tasks.bench.setup import Shipped
from tasks.bench.transport import Local
from tasks.errors import UnsupportedError
from tasks.records import judged

RUNNER = Path(__file__).parent / "runner"
IMPORTED = re.compile(r"^from \.(\w+) import", re.MULTILINE)  # how the runner's modules need each other


def ships(artifact: Artifact, device: Device, folder: Path) -> Shipped:
    """Write what is shipped of an artifact to a device into `folder`: the program, and the modules that run it.

    Raises:
        UnsupportedError: nothing can be shipped to such a device.
        DeviceError, DataError: as where it is measured.
    """
    kind = KINDS.load(device.kind)
    if kind.ships is None:
        raise UnsupportedError(f"{device.name}: nothing says what is shipped to a device of kind {device.kind!r}")
    shipped = kind.ships(artifact, device, folder)
    runner = folder / "runner"
    runner.mkdir()
    for name, path in closure(shipped.module, shipped.code).items():
        shutil.copyfile(path, runner / f"{name}.py")
    return shipped


def closure(module: str, code: Path | None = None) -> dict[str, Path]:
    """A module of the runner, or of a file, and those of the runner that it needs, each with its file."""
    found: dict[str, Path] = {}
    waiting = {module}
    while waiting:
        name = waiting.pop()
        found[name] = code if code and name == module else RUNNER / f"{name}.py"
        waiting |= set(IMPORTED.findall(found[name].read_text(encoding="utf-8"))) - found.keys()
    return dict(sorted(found.items()))


def processor(artifact: Artifact, device: Device, folder: Path, runtime: str | None = None) -> Shipped:
    """To a processor: the file that it was timed with, by the runtime of its own kind or of the one that is named."""
    runtime = runtime or device.kind
    setup, package = timed.setup_of(runtime, device, Local()), KINDS.load(runtime).package
    source, ask = setup.model(artifact), setup.ask("predict", artifact)
    file = f"model{source.suffix}"
    shutil.copyfile(source, folder / file)
    found_by = f"{package} {installed(package)}" if package else runtime
    return Shipped(
        file=file,
        found_by=found_by,
        runs=f"{file} is what runs on the device, by {found_by}.",
        serves=file,
        module=ask["runtime"],
        options=ask["options"],
        output=judged(artifact.card.outputs),
        requires=(*([required(package)] if package else []), *plugins(setup.options.get("platform", "cpu"))),
        bound=same_answers.allowed(artifact.card, setup),
        code=setup.code,
    )


def interpreted(
    artifact: Artifact, folder: Path, found_by: str, runs: str, kernels: Kernels = "default", file: str | None = None
) -> Shipped:
    """The `.tflite` file by LiteRT on any processor: where the device is another one, it stands in."""
    serves = "model.tflite"
    shutil.copyfile(artifact.path, folder / serves)
    ask = litert(kernels).ask("predict", artifact)
    return Shipped(
        file=file or serves,
        found_by=found_by,
        runs=runs,
        serves=serves,
        module=ask["runtime"],
        options=ask["options"],
        output=judged(artifact.card.outputs),
        requires=(required("ai-edge-litert"),),
    )


def required(package: str) -> str:
    """A package at the version that is installed here, as pip takes it."""
    return f"{package}=={installed(package)}"


def plugins(platform: str) -> tuple[str, ...]:
    """What PJRT needs beside jaxlib for a platform."""
    return {"cpu": (), "cuda": (f"jax-cuda13-plugin[with-cuda]=={installed('jaxlib')}",), "tpu": ("libtpu",)}[platform]
