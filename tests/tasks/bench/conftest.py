"""What the tests of measuring share: golden artifacts, requests to the runner, a small params.yaml."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import devices, paths
from tasks.bench import transport
from tasks.bench.targets import Artifact, Request, litert
from tasks.errors import DeviceError
from tasks.files import sha256
from tasks.params import Params
from tasks.records import ArtifactCard

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture
def golden() -> Path:
    return GOLDEN


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).random((6, 8, 8, 1), np.float32)


@pytest.fixture
def request_of(tmp_path: Path, images: np.ndarray) -> Callable[..., dict[str, Any]]:
    """A request to the runner about a golden file; keywords replace its fields."""

    def build(
        name: str, action: str, arrays: dict[str, np.ndarray] | None = None, kernels: str = "default", **fields: Any
    ) -> dict[str, Any]:
        inputs = tmp_path / "inputs.npz"
        np.savez(inputs, **(arrays or {"image": images}))
        return {
            "action": action,
            "runtime": "litert",
            "model": str(GOLDEN / f"{name}.tflite"),
            "options": {"kernels": kernels, "threads": 1},
            "inputs": str(inputs),
            "outputs": str(tmp_path / "outputs.npz"),
            "samples": str(tmp_path / "samples.npy"),
            "warmup_runs": 3,
            "warmup_s": 0.0,
            "min_runs": 5,
            "window_s": 0.0,
            "idle_s": 0.05,
            "energy": {"powercap": str(tmp_path / "powercap")},
            **fields,
        }

    return build


@pytest.fixture
def params() -> Params:
    """Golden files as variants, windows of 20 ms."""
    protocol = {"mode": "quick", "windows": 2, "window_s": 0.02}
    schemes = {name: {"model": "baseline", "scheme": name} for name in ("float32", "int8", "int16x8")}
    return Params.model_validate(
        {
            "name": "golden",
            "prepare": {"source": "digits"},
            "model": {"family": "cnn"},
            "train": {"epochs": 1},
            "compress": {},
            "quantize": {**schemes, "mixed": {"model": "baseline", "scheme": "dynamic"}},
            "benchmark": {"reference": "float32", "devices": ["host-cpu"], "protocol": protocol},
            "deploy": {},
        }
    )


@pytest.fixture
def workshop(project: Path, params: Params) -> Path:
    """A project root with the device catalog and the golden artifacts of `params`."""
    shutil.copytree(ROOT / "infra" / "devices", project / paths.DEVICES)
    for name, variant in params.quantize.items():
        folder = paths.artifact(name)
        folder.mkdir(parents=True)
        path = folder / "model.tflite"
        shutil.copy(GOLDEN / f"{name}.tflite", path)
        ArtifactCard(
            variant=name,
            model="baseline",
            scheme=variant.scheme,
            file=path.name,
            sha256=sha256(path),
            bytes=path.stat().st_size,
            gzip_bytes=1,
            inputs=(),
            outputs=(),
            operators={},
            converter="golden",
        ).save(folder / "card.json")
    return project


@pytest.fixture
def pair(workshop: Path, params: Params, images: np.ndarray) -> Callable[[str, str], Request]:
    """A pair to measure: variant and device."""

    def artifact(variant: str) -> Artifact:
        folder = paths.artifact(variant)
        card = ArtifactCard.model_validate_json((folder / "card.json").read_bytes())
        return Artifact(card, folder / card.file)

    def build(variant: str, device: str) -> Request:
        np.savez("inputs.npz", image=images)
        loaded = devices.load(device)
        return Request(artifact(variant), artifact("float32"), loaded, params.benchmark.protocol, Path("inputs.npz"))

    return build


class Machine:
    """A machine that answers at once: each model takes as long as it is told, in nanoseconds."""

    def __init__(self) -> None:
        self.ns = {"float32": 80_000, "int8": 40_000}
        self.cpu_share = 1.0
        self.refuses: str | None = None
        self.crashes = 0  # so many times, before it works
        self.requests: list[dict[str, Any]] = []

    def run(
        self, request: dict[str, Any], files: dict[str, Path], results: dict[str, Path], *, timeout_s: float
    ) -> dict[str, Any]:
        request = request | files | results
        self.requests.append(request)
        if len(self.requests) <= self.crashes:
            raise DeviceError("the cable is out")
        variant = Path(request["model"]).parent.name
        if variant == self.refuses:
            return {"status": "unsupported", "reason": "no such kernel", "environment": {}}
        samples = np.full(100, self.ns[variant], np.uint64)
        np.save(request["samples"], samples)
        seconds = samples.sum() / 1e9
        return {
            "status": "ok",
            "environment": {"cpu": "made up"},
            "runs": len(samples),
            "seconds": seconds,
            "cpu_s": seconds * self.cpu_share,
            "load_ms": 1.0,
            "first_ms": 1.0,
            "memory": {"before_kib": 1000, "peak_kib": 1500 if variant == "int8" else 1800},
            "energy": {"zones": [], "reason": "no RAPL", "update_s": None, "idle": [None, None], "window": []},
            "facts": {},
        }


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(transport, "Local", lambda: machine)
    monkeypatch.setattr(litert, "Local", lambda: machine)
    return machine
