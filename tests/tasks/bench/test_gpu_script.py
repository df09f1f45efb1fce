"""`benchmarks/gpu.py` through all its steps, on this processor in place of a GPU, beside a stand-in for NVML."""

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tasks import paths
from tasks.bench import meters, timed
from tasks.examples import dataset
from tasks.files import sha256
from tasks.params import Params
from tasks.records import ArtifactCard, Measurement, Program

ROOT = Path(__file__).resolve().parents[3]
ABSENT = ("tensorflow", "tf_keras", "pydantic", "scipy", "yaml", "prefect", "mlflow", "dvc", "ai_edge_litert")
VARIANTS = ["float32", "again"]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script, with short windows, for a device that is this processor with a GPU's energy counter."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    spec = importlib.util.spec_from_file_location("gpu", ROOT / "benchmarks" / "gpu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    device = tmp_path / "nvidia-gpu.yaml"
    device.write_text((ROOT / "infra/devices/nvidia-gpu.yaml").read_text().replace("platform: cuda", "platform: cpu"))
    monkeypatch.setattr(module, "DEVICE", device)
    monkeypatch.setattr(module, "WINDOW_S", 0.6)
    short = timed.Plan(windows=6, window_s=1.0, warmup_s=0.0, min_runs=10, idle_s=0.1)
    monkeypatch.setitem(timed.PLANS, "full", short)
    monkeypatch.setattr(meters, "HOST", meters.GPU)
    return module


@pytest.fixture
def portable(workshop: Path, params: Params, golden: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which two variants have their StableHLO."""
    shutil.copytree(paths.artifact("float32"), paths.artifact("again"))
    for variant in VARIANTS:
        folder = paths.artifact(variant)
        shutil.copy(golden / "float32.stablehlo", folder / "model.stablehlo")
        card = ArtifactCard.model_validate_json((folder / "card.json").read_bytes())
        about = Program(
            file="model.stablehlo", sha256=sha256(folder / "model.stablehlo"), bytes=1,
            inputs=("image",), outputs=("scores",),
        )  # fmt: skip
        tensors = {side: [{"name": name, "shape": [1], "dtype": "float32"}] for side, name in SIDES.items()}
        fields = {**card.model_dump(), **tensors, "variant": variant, "stablehlo": about.model_dump()}
        ArtifactCard.model_validate(fields).save(folder / "card.json")
    examples = dataset.Arrays({"image": images}, {dataset.LABEL: np.zeros(len(images), np.int64)})
    monkeypatch.setattr(dataset, "load", lambda _: examples)
    return workshop


SIDES = {"inputs": "image", "outputs": "scores"}


@pytest.fixture
def nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: Callable[[str, Path], str]) -> None:
    """Where the loader looks for NVIDIA's library lies one that answers like it: 200 W at all times."""
    folder = tmp_path / "nvml"
    folder.mkdir()
    shutil.move(compiled(Path(__file__).with_name("nvml.c").read_text(), folder), folder / "libnvidia-ml.so.1")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))


@pytest.mark.slow  # 12 processes that import jaxlib
@pytest.mark.usefixtures("nvml", "crowded")
def test_the_three_steps_give_records_with_energy_and_need_none_of_the_dependencies_there(
    script: ModuleType, portable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered, record = tmp_path / "asked", tmp_path / "answered", tmp_path / "record.json"
    script.prepare(argparse.Namespace(project=portable, out=asked, variants=VARIANTS))
    code = (
        f"import sys, runpy; sys.modules |= dict.fromkeys({ABSENT!r});"
        f" sys.argv = ['gpu.py', 'measure', '--folder', {str(asked)!r}, '--out', {str(answered)!r}];"
        f" runpy.run_path({str(ROOT / 'benchmarks' / 'gpu.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    timed_models = [line.split()[3] for line in done.stdout.splitlines() if " time " in line]
    turns = [timed_models[2 * turn : 2 * turn + 2] for turn in range(6)]
    first = [models[0].removesuffix("-model.stablehlo") for models in turns]
    assert first == ["float32", "again", "again", "float32", "float32", "again"]
    monkeypatch.chdir(tmp_path)
    script.record(argparse.Namespace(project=portable, folder=answered, record=record, variants=VARIANTS))
    reference, variant = (Measurement.model_validate(m) for m in json.loads(record.read_text())["measurements"])
    assert reference.energy.kind == variant.energy.kind == "counter_nvml"
    assert variant.status == "ok"
    assert variant.ratio is not None
    assert (variant.ratio.kind, variant.ratio.pairs) == ("interval", 6)
    assert variant.energy.ratio is not None
    assert variant.energy.mj is not None
    assert variant.energy.mj_with_input is not None
    assert variant.energy.mj < variant.energy.mj_with_input
    assert variant.energy.net_mj is None  # idle takes 200 W too
    assert [window.busy_s < window.seconds for window in variant.windows] == [True] * 12
