"""A bundle holds the very program that its figures are of, for every kind of device, and runs it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tasks import files, paths
from tasks.bench import shipping
from tasks.bench.kinds import KINDS, litert, onnxruntime
from tasks.bench.request import made_in
from tasks.params import Bundle, Params
from tasks.records import Comparison, Memory, Row, read
from tasks.ship.manifest import Manifest
from tasks.stages import bundle as stage

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"
Serve = Callable[..., "subprocess.CompletedProcess[str]"]  # of conftest.py


@pytest.fixture
def ship(
    ready: Path, params: Params, make_row: Callable[..., Row], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """A function that ships a golden variant to a device as its only one; the bundle."""
    monkeypatch.setattr(onnxruntime, "to_onnx", lambda source, file: shutil.copyfile(GOLDEN / "int8.onnx", file))

    def run(device: str, variant: str, **measured: Any) -> Path:
        kind = yaml.safe_load(paths.device(device).read_text())["kind"]
        sha256 = files.sha256(paths.artifact(variant) / "model.tflite")
        memory = Memory(provenance="measured", peak_kib=8, what="arena")
        row = make_row(variant, device, device_kind=kind, artifact_sha256=sha256, memory=memory, **measured)
        Comparison(name="w", reference=variant, rows=(row,)).save(paths.REPORT / "comparison.json")
        chosen = Bundle.model_validate({"default": {"minimize": "memory_kib"}})
        stage.bundle(params.model_copy(update={"bundle": chosen}), device)
        return paths.bundle(device)

    return run


def test_every_kind_of_device_says_what_is_shipped() -> None:
    assert all(KINDS.load(kind).ships for kind in KINDS)


@pytest.mark.parametrize(
    ("device", "variant", "file", "module", "packages"),
    [
        ("host-cpu", "float32", "model.tflite", "litert", ["ai_edge_litert"]),
        ("host-cpu-onnxruntime", "int8", "model.onnx", "onnxruntime", ["onnxruntime"]),
        ("host-cpu-openvino", "int8", "model.tflite", "openvino", ["openvino", "openvino_telemetry"]),
        ("host-cpu-pjrt", "float32", "model.stablehlo", "pjrt", ["jaxlib", "ml_dtypes"]),
        ("stm32h743", "int8", "model.tflite", "tflm", ["tflite_micro", "flatbuffers", "yaml"]),
        ("board", "int8", "model.onnx", "onnxruntime", ["onnxruntime"]),
        ("emulated-cortex-a72", "int8", "model.tflite", "litert", ["ai_edge_litert"]),
        ("roofline-raspberry-pi-4", "int8", "model.tflite", "litert", ["ai_edge_litert"]),
    ],
)
def test_the_measured_program_runs_with_its_runtime_and_numpy_alone(
    ship: Callable[..., Path],
    alone: Callable[..., Path],
    serve: Serve,
    images: np.ndarray,
    device: str,
    variant: str,
    file: str,
    module: str,
    packages: list[str],
) -> None:
    if device == "board":  # reached by ssh, with another runtime
        watts = [1, 2, 3]
        about = {
            "kind": "ssh",
            "description": "a board",
            "runtime": "onnxruntime",
            "threads": 1,
            "watts_per_core": watts,
        }
        paths.device(device).write_text(yaml.safe_dump(about))
    bundle = ship(device, variant)
    program = read(Manifest, bundle / "manifest.json").program
    assert program
    measured = {"model.onnx": GOLDEN / f"{variant}.onnx", "model.stablehlo": GOLDEN / f"{variant}.stablehlo"}
    original = measured.get(file, GOLDEN / f"{variant}.tflite")
    assert (program.file, program.serves, program.module) == (file, file, module)
    if file == "model.onnx":  # as the converter's last step leaves it
        assert (bundle / file).read_bytes() == onnxruntime.convert(shipped(variant)).read_bytes()
    else:
        assert program.sha256 == files.sha256(original)
    assert (program.sha256, program.bytes) == (files.sha256(bundle / file), (bundle / file).stat().st_size)
    np.save("images.npy", images)
    done = serve(bundle, "images.npy", alone=alone(*packages))
    assert done.returncode == 0, done.stderr
    imported = set(done.stderr.partition("IMPORTED")[2].split())
    others = {"tasks", "tensorflow", "pydantic", "jax", "ai_edge_litert"} - set(packages)
    assert not imported & others
    answered = [json.loads(line)["index"] for line in done.stdout.splitlines()]
    assert answered == by_litert(variant, images)
    assert len(set(answered)) > 1, "the check would be empty"
    readme = (bundle / "README.txt").read_text()
    assert all(f'"{package}"' in readme for package in program.requires)


def shipped(variant: str) -> Any:
    return made_in(paths.artifact(variant))


def by_litert(variant: str, images: np.ndarray) -> list[int]:
    """The classes by LiteRT alone, with the arithmetic of quantization written out."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(GOLDEN / f"{variant}.tflite"))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    (scale, zero), found = taken["quantization"], []
    for image in images:
        real = image[np.newaxis].astype(np.float32) / np.float32(255)
        real = np.clip(np.rint(real / scale) + zero, -128, 127) if scale else real
        interpreter.set_tensor(taken["index"], real.astype(taken["dtype"]))
        interpreter.invoke()
        found.append(int(interpreter.get_tensor(given["index"]).argmax()))
    return found


@pytest.mark.parametrize(
    ("device", "says"),
    [
        ("emulated-cortex-a72", "no core has run it"),
        ("roofline-raspberry-pi-4", "was not run on roofline-raspberry-pi-4"),
        ("ethos-u55-128", "the compiler's estimate, nothing was run"),
        ("stm32h743", "no board was timed"),
        ("host-cpu-onnxruntime", f"model.onnx is what runs on the device, by onnxruntime {version('onnxruntime')}"),
    ],
)
def test_the_readme_says_what_the_figures_are_of(ship: Callable[..., Path], device: str, says: str) -> None:
    assert says in (ship(device, "int8") / "README.txt").read_text()


def test_a_kind_that_ships_nothing_gets_an_empty_bundle(
    ship: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litert, "KIND", replace(litert.KIND, ships=None))
    bundle = ship("host-cpu", "int8")
    manifest = read(Manifest, bundle / "manifest.json")
    assert manifest.program is manifest.variant is None
    assert manifest.reason == "host-cpu: nothing says what is shipped to a device of kind 'litert'"
    assert sorted(path.name for path in bundle.iterdir()) == ["SHA256SUMS", "manifest.json"]


def test_a_module_of_the_runner_brings_those_that_it_imports() -> None:
    assert list(shipping.closure("litert")) == ["arrays", "litert"]
    assert list(shipping.closure("pjrt")) == ["arrays", "machine", "nvml", "pages", "pjrt", "tensors"]
