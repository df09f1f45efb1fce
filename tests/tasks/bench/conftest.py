"""What the tests of measuring share: golden artifacts, requests to the runner, a small params.yaml."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import paths
from tasks.bench import devices, locks, openssh, shots, transport
from tasks.bench.kinds import litert, onnxruntime
from tasks.bench.request import Artifact, Request
from tasks.bench.setup import Setup
from tasks.errors import UnsupportedError
from tasks.files import sha256
from tasks.params import Params
from tasks.quantize.litert import inspect
from tasks.records import ArtifactCard, Tensor
from tests.board import Board
from tests.tasks.bench.machine import Machine

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).random((6, 8, 8, 1), np.float32)


@pytest.fixture(scope="session")
def compiled() -> Callable[[str, Path], str]:
    """The path of a library made of C, in a folder."""

    def build(source: str, folder: Path) -> str:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            pytest.skip("no C compiler to make the stand-in for NVIDIA's library")
        (folder / "fake.c").write_text(source)
        command = [compiler, "-shared", "-fPIC", "-o", str(folder / "libfake.so"), str(folder / "fake.c")]
        subprocess.run(command, check=True, timeout=60)
        return str(folder / "libfake.so")

    return build


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
            "samples": str(tmp_path / "samples.npz"),
            "scenario": "single",
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
def described() -> Callable[[str], Artifact]:
    """A golden file as an artifact whose card tells its inputs and outputs."""

    def build(name: str) -> Artifact:
        path, graph = GOLDEN / f"{name}.tflite", inspect((GOLDEN / f"{name}.tflite").read_bytes())
        card = ArtifactCard(
            variant=name,
            model="baseline",
            scheme=name if name in ("float16", "int8", "int16x8") else "float32",
            file=path.name,
            sha256=sha256(path),
            bytes=path.stat().st_size,
            gzip_bytes=1,
            inputs=graph.inputs,
            outputs=graph.outputs,
            operators=graph.operators,
            converter="golden",
        )
        return Artifact(card, path)

    return build


@pytest.fixture
def predict(setup: Setup, described: Callable[[str], Artifact], tmp_path: Path) -> Callable[..., dict[str, np.ndarray]]:
    """Every output of a golden file, by the runtime that the test's own `setup` asks."""

    def run(name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        artifact, found = described(name), tmp_path / "found.npz"
        files = {"model": setup.model(artifact), "inputs": tmp_path / "given.npz"}
        np.savez(files["inputs"], **inputs)
        answer = setup.session.run(setup.ask("predict", artifact), files, {"outputs": found}, timeout_s=60)
        if answer.status != "ok":
            raise UnsupportedError(answer.reason)
        with np.load(found) as file:
            return dict(file)

    return run


@pytest.fixture
def no_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Golden ONNX files in place of the converter's, which takes its time."""
    monkeypatch.setattr(onnxruntime, "to_onnx", lambda source, file: shutil.copy(source.with_suffix(".onnx"), file))


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real windows beside other tests: one that had hardly any processor shall count all the same."""
    monkeypatch.setattr(shots, "STARVED", 0.0)


@pytest.fixture
def by_litert() -> Callable[[str, np.ndarray], np.ndarray]:
    """The output of a golden file for images, by LiteRT in this process."""

    def run(name: str, images: np.ndarray) -> np.ndarray:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(GOLDEN / f"{name}.tflite"), num_threads=1)
        interpreter.allocate_tensors()
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        if scale := taken["quantization"][0]:
            limits = np.iinfo(taken["dtype"])
            images = np.clip(np.round(images / scale) + taken["quantization"][1], limits.min, limits.max)
        rows = []
        for image in images.astype(taken["dtype"]):
            interpreter.set_tensor(taken["index"], image[None])
            interpreter.invoke()
            rows.append(interpreter.get_tensor(given["index"])[0].astype(float))
        scale, zero_point = given["quantization"]
        return (np.array(rows) - zero_point) * (scale or 1)

    return run


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
            "bundle": {},
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


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(transport, "Local", lambda: machine)
    monkeypatch.setattr(litert, "Local", lambda: machine)
    return machine


@pytest.fixture
def board(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A device that ssh reaches, listening, in a project that knows it; left clean by every test."""
    if Board.SSHD is None or shutil.which("ssh") is None:
        pytest.skip("no sshd: `apt-get install openssh-server openssh-client`")
    board = Board(tmp_path / "ssh")
    monkeypatch.setenv(openssh.CONFIG, str(board.config))
    monkeypatch.setenv(locks.VARIABLE, str(tmp_path))  # a lock of this test's own
    paths.device("board").write_text(
        f"kind: ssh\ndescription: this machine by ssh\npython: {sys.executable}\nwatts_per_core: [1, 2, 3]\n"
    )
    for variant in ("float32", "int8"):
        path = paths.artifact(variant) / "card.json"
        card = ArtifactCard.model_validate_json(path.read_bytes())
        card.model_copy(update={"outputs": (Tensor(name="out", shape=(3,), dtype="float32"),)}).save(path)
    board.start()
    try:
        yield board
        assert board.eventually(board.clean), ([*board.tmp.iterdir()], board.processes())
    finally:
        board.stop()
