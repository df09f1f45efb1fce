"""Records as the stages before would have written them, made by hand, and a look into the tracking server."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tasks import files, paths, track
from tasks.examples import Arrays
from tasks.params import Params
from tasks.records import Comparison, Energy, Latency, Measurement, ModelCard, Row
from tasks.ship import examples
from tasks.stages import bundle as stage
from tasks.track import server
from tests.bundles import CLASSIFICATION, IMAGES, artifact_of, noise, prepared
from tests.phases import FIGURES, of_inference

if TYPE_CHECKING:
    import mlflow

ROOT = Path(__file__).resolve().parents[3]
PARAMS = {
    "name": "digits-cnn",
    "prepare": {"source": "digits"},
    "model": {"family": "cnn"},
    "train": {"epochs": 2},
    "compress": {"pruned": {"parent": "baseline", "method": "prune", "sparsity": 0.5, "epochs": 1}},
    "quantize": {
        "float32": {"model": "baseline", "scheme": "float32"},
        "int8": {"model": "pruned", "scheme": "int8"},
    },
    "benchmark": {
        "reference": "float32",
        "devices": ["host-cpu", "ethos-u55-128"],
        "protocol": {"mode": "quick"},
    },
    "bundle": {"default": {"max_quality_drop": 0.01}},
}

MakeRow = Callable[..., Row]


@pytest.fixture
def make_row() -> MakeRow:
    """A function that makes a row; latency, energy, drop and sizes are what the tests vary."""

    def make(variant: str = "float32", device: str = "host-cpu", **changes: Any) -> Row:
        latency_ms: float | None = changes.pop("latency_ms", 1.0)
        energy_mj: float | None = changes.pop("energy_mj", None)
        energy_kind = changes.pop("energy_kind", "counter_rapl" if energy_mj is not None else "none")
        provenance = changes.pop("provenance", "measured")
        measured: dict[str, Any] = {
            "variant": variant,
            "device": device,
            "device_kind": "litert",
            "status": "ok",
            "mode": "quick",
            "artifact_sha256": hashlib.sha256(variant.encode()).hexdigest(),
            "latency": None if latency_ms is None else Latency(provenance=provenance, ms_p50=latency_ms),
            "energy": Energy(kind=energy_kind, mj=energy_mj),
        }
        known = [*Measurement.model_fields, *FIGURES]
        measured |= {name: changes.pop(name) for name in list(changes) if name in known}
        row = {
            "variant": variant,
            "device": device,
            "model": "baseline",
            "scheme": variant,
            "total_epochs": 2,
            "metric": "accuracy",
            "quality": 0.97,
            "quality_low": 0.95,
            "quality_high": 0.98,
            "quality_n": 360,
            "validation_quality": 0.98,
            "paired": None,
            "bytes": 1000,
            "gzip_bytes": 900,
            "outcome": "not compared",
            "verdict": "as fast",
            "fronts": ("latency_ms",),
        }
        return Row(**{**row, **changes, "measurement": Measurement(**of_inference(measured))})

    return make


@pytest.fixture
def params() -> Params:
    """Two variants of two models on two devices."""
    return Params.model_validate(PARAMS)


@pytest.fixture
def shipped(project: Path, params: Params, make_row: MakeRow) -> Path:
    """A project whose report says that both golden models ran on the processor and int8 on the accelerator."""
    rows = []
    for variant in ("float32", "int8"):
        artifact = artifact_of(variant)
        known = {"artifact_sha256": files.sha256(artifact), "bytes": artifact.stat().st_size, "model": "baseline"}
        known |= {"model": "pruned"} if variant == "int8" else {}
        rows.append(make_row(variant, latency_ms={"float32": 1.0, "int8": 0.5}[variant], **known))
        estimate = {"provenance": "estimated", "latency_ms": 0.1, "kernels": "reference", "stand_in": "the host"}
        refused = {"status": "unsupported", "reason": "float32 is not for this device", "latency_ms": None}
        known |= estimate if variant == "int8" else refused
        rows.append(make_row(variant, "ethos-u55-128", device_kind="ethos-u", **known))
    Comparison(name=params.name, reference="float32", rows=tuple(rows)).save(paths.REPORT / "comparison.json")
    for model, method in (("baseline", "train"), ("pruned", "prune")):
        card(model, method).save(paths.model(model) / "card.json")
    return project


def card(model: str, method: str) -> ModelCard:
    """A model trained for two epochs."""
    return ModelCard(
        model=model,
        parent=None if method == "train" else "baseline",
        method=method,
        parameters=34,
        epochs=2,
        total_epochs=2,
        layers=(),
        history={"loss": (1.5, 0.7), "val_accuracy": (0.6, 0.8)},
    )


@dataclass(frozen=True)
class Store:
    """What a tracking server holds of the experiment."""

    uri: str

    @property
    def client(self) -> "mlflow.MlflowClient":
        import mlflow

        return mlflow.MlflowClient(self.uri, self.uri)

    def all_runs(self) -> list[Any]:
        experiment = self.client.get_experiment_by_name("digits-cnn")
        return list(self.client.search_runs([experiment.experiment_id])) if experiment else []

    def runs(self) -> dict[str, Any]:
        """By name; there is one of each name."""
        found = self.all_runs()
        assert max(Counter(run.info.run_name for run in found).values(), default=1) == 1, "something was sent twice"
        return {run.info.run_name: run for run in found}

    def versions(self) -> dict[str, str]:
        """The variant of each version of the registered model."""
        found = self.client.search_model_versions("name = 'digits-cnn'")
        return {str(version.version): version.tags["variant"] for version in found}

    def history(self, run: Any, key: str = "train_loss") -> list[tuple[int, float]]:
        return sorted((metric.step, metric.value) for metric in self.client.get_metric_history(run.info.run_id, key))

    def curve(self, name: str, key: str) -> list[tuple[int, float]]:
        return self.history(self.runs()[name], key)


@pytest.fixture
def store(shipped: Path, params: Params, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A project with everything to publish, and its empty store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.DEFAULT_URI)
    shutil.copytree(ROOT / "infra/devices", paths.DEVICES)
    prepared(IMAGES, CLASSIFICATION, noise(24))
    for device in params.benchmark.devices:
        stage.bundle(params, device)
    shutil.copyfile(database, "mlflow.db")
    yield Store(f"sqlite:///{shipped}/mlflow.db")
    track.settle()


@pytest.fixture
def stream(params: Params) -> Callable[..., None]:
    """A function that trains the baseline for some epochs, and may be killed after them."""

    def train(epochs: range, *, kill: bool = False) -> None:
        with track.curves("baseline", params) as on_epoch:
            for epoch in epochs:
                on_epoch(epoch, {"loss": (1.5, 0.7)[epoch], "val_accuracy": (0.6, 0.8)[epoch]})
            if kill:
                raise KeyboardInterrupt
        track.settle()

    return train


# runs a script with no package in reach but those in a folder, and tells on stderr what it imported
ALONE = """
import runpy, sys
folder, script, *arguments = sys.argv[1:]
sys.path.append(folder)
sys.argv = [script, *arguments]
try:
    runpy.run_path(script, run_name="__main__")
finally:
    print("IMPORTED", *{name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names, file=sys.stderr)
"""


@pytest.fixture
def ready(shipped: Path) -> Path:
    """The project with the catalog of devices and 8×8 images."""
    shutil.copytree(ROOT / "infra/devices", paths.DEVICES)
    prepared(IMAGES, CLASSIFICATION, noise(24))
    return shipped


@pytest.fixture(scope="session")
def _asked() -> dict[Any, Any]:
    """What programs have answered to examples, by the content of both."""
    return {}


@pytest.fixture(autouse=True)
def _asked_once(_asked: dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same program is asked the same once a session: it is a process of its own, and most bundles are alike."""
    real = examples._by_program

    def known(served: Path, shipped: Any, ready: Arrays) -> Any:
        given = [(name, array.dtype.str, array.tobytes()) for name, array in ready.inputs.items()]
        key = (files.sha256(served), shipped.module, json.dumps(shipped.options), str(given))
        if key not in _asked:
            _asked[key] = real(served, shipped, ready)
        return _asked[key]

    monkeypatch.setattr(examples, "_by_program", known)


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that makes a folder of numpy and the packages named, and nothing else that was installed."""

    def make(*packages: str) -> Path:
        folder = tmp_path_factory.mktemp("packages")
        for package in ("numpy", *packages):
            spec = importlib.util.find_spec(package)
            assert spec
            assert spec.origin
            home = Path(spec.origin).parent
            for path in (home, home.with_name(f"{package}.libs")):
                if path.exists():
                    (folder / path.name).symlink_to(path)
        return folder

    return make


@pytest.fixture
def serve() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """A function that runs a bundle's script on a file, in a Python that has only the packages in `alone`, if given."""

    def run(
        bundle: Path, source: str, *, alone: Path | None = None, stdin: str = "", isolated: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        start = ["-I", "-S", "-c", ALONE, str(alone)] if alone else ["-I"] if isolated else []
        command = [sys.executable, *start, str(bundle / "classify.py"), source]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, input=stdin, check=False)

    return run


@pytest.fixture
def sealed() -> Callable[[Path], None]:
    """A function that gives a bundle the digests of what is in it now, as one who made it would."""

    def seal(bundle: Path) -> None:
        names = {
            p.relative_to(bundle).as_posix(): p for p in bundle.rglob("*") if p.is_file() and p.name != "SHA256SUMS"
        }
        manifest = json.loads((bundle / "manifest.json").read_text())
        sums = {name: files.sha256(path) for name, path in names.items() if name != "manifest.json"}
        manifest["files"] = {name: {"sha256": sums[name], "bytes": names[name].stat().st_size} for name in sums}
        (bundle / "manifest.json").write_text(json.dumps(manifest))
        sums["manifest.json"] = files.sha256(bundle / "manifest.json")
        (bundle / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sums.items()))

    return seal


@pytest.fixture
def images() -> "np.ndarray":
    """So many that the classes differ."""
    return noise(24)
