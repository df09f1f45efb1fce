import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import devices, timed, transport
from tasks.bench.kinds import pjrt
from tasks.bench.kinds.pjrt import Pjrt
from tasks.bench.request import Artifact, Questions, Request
from tasks.bench.runner import nvml
from tasks.bench.runner import pjrt as runtime
from tasks.bench.transport import Local
from tasks.errors import DataError, DeviceError, UnsupportedError
from tasks.files import sha256
from tasks.params import Protocol
from tasks.records import Program

Portable = Callable[[str], Artifact]
QUICK = Protocol(mode="quick", windows=1, window_s=0.02)


@pytest.fixture
def portable(described: Portable) -> Portable:
    """A golden file as an artifact with the StableHLO beside it."""

    def build(name: str) -> Artifact:
        artifact = described(name)
        path = artifact.path.with_suffix(".stablehlo")
        names = ([tensor.name for tensor in side] for side in (artifact.card.inputs, artifact.card.outputs))
        inputs, outputs = names
        about = Program(file=path.name, sha256=sha256(path), bytes=path.stat().st_size, inputs=inputs, outputs=outputs)
        return replace(artifact, card=artifact.card.model_copy(update={"stablehlo": about}))

    return build


@pytest.fixture
def catalog(workshop: Path) -> Callable[..., Pjrt]:
    """Devices of the catalog; keywords replace their fields."""

    def build(name: str, **fields: Any) -> Pjrt:
        device = devices.load(name)
        assert isinstance(device, Pjrt)
        return device.model_copy(update=fields)

    return build


def asked(artifact: Artifact, images: np.ndarray, tmp_path: Path, device: Pjrt, **files: Path) -> Any:
    """The runner's response to a prediction, and what it wrote."""
    given, found = tmp_path / "given.npz", tmp_path / "found.npz"
    np.savez(given, image=images)
    setup = pjrt.setup(device, Local())
    files = {"model": setup.model(artifact), "inputs": given} | files
    response = setup.session.run(setup.ask("predict", artifact), files, {"outputs": found}, timeout_s=60)
    if response.status != "ok":
        return response, None
    with np.load(found) as file:
        return response, file[artifact.card.outputs[0].name]


@pytest.mark.parametrize(("name", "tolerance"), [("float32", 1e-5), ("float16", 5e-3)])
def test_outputs_are_those_of_litert(
    portable: Portable,
    catalog: Any,
    by_litert: Callable[[str, np.ndarray], np.ndarray],
    tmp_path: Path,
    name: str,
    tolerance: float,
) -> None:
    images = np.random.default_rng(3).random((100, 8, 8, 1), np.float32)
    response, ours = asked(portable(name), images, tmp_path, catalog("host-cpu-pjrt"))
    theirs = by_litert(name, images)
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < tolerance
    assert response.environment["runtime"].startswith("jaxlib 0.")
    if name == "float16":  # which LiteRT computes in float32, from weights of float16
        assert np.abs(ours - theirs).max() > 1e-5


def test_what_it_cannot_run_is_a_verdict_and_what_is_missing_an_error(
    portable: Portable, catalog: Any, images: np.ndarray, tmp_path: Path
) -> None:
    artifact, device = portable("float32"), catalog("host-cpu-pjrt")
    response, _ = asked(artifact, images[:, :4], tmp_path, device)
    assert response.status == "unsupported"
    assert response.reason == "image: compiled for (1, 8, 8, 1); received (1, 4, 8, 1)"
    (tmp_path / "rubbish").write_bytes(b"ML\xefR and no more")
    response, _ = asked(artifact, images, tmp_path, device, model=tmp_path / "rubbish")
    assert response.status == "unsupported"
    assert "\n" not in str(response.reason)
    with pytest.raises(DeviceError, match="FileNotFoundError"):
        asked(artifact, images, tmp_path, device, model=tmp_path / "nothing")


PRODUCT = """
func.func @main(%x: tensor<1x1024x1024xf32>) -> tensor<1x1024x1024xf32> {
  %y = stablehlo.dot_general %x, %x, batching_dims = [0] x [0], contracting_dims = [2] x [1]
    : (tensor<1x1024x1024xf32>, tensor<1x1024x1024xf32>) -> tensor<1x1024x1024xf32>
  return %y : tensor<1x1024x1024xf32>
}
"""


def test_one_thread_does_all_the_work(tmp_path: Path) -> None:
    (tmp_path / "product").write_text(PRODUCT)  # large enough that the runtime would divide it
    code = f"""
import os, sys
import numpy as np
sys.path.insert(0, {str(transport.RUNNER.parent)!r})
from runner import pjrt
tensor = {{"name": "x", "dtype": "float32", "scale": None, "zero_point": None}}
options = {{"platform": "cpu", "threads": 1, "inputs": [tensor], "outputs": [tensor]}}
model = pjrt.Model({str(tmp_path / "product")!r}, options)
def ticks():
    texts = [open(f"/proc/self/task/{{task}}/stat").read() for task in os.listdir("/proc/self/task")]
    return np.array(sorted(int(text.rsplit(")", 1)[1].split()[11]) for text in texts)[::-1])  # user time of each
before = ticks()
model.put(model.prepare({{"x": np.ones((1, 1024, 1024), np.float32)}})[0])
for _ in range(20):
    model.invoke()
    model.read()
after = ticks()
print(after[0] - before[0], after.sum() - before.sum())
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    first, all_threads = (int(word) for word in done.stdout.split())
    assert all_threads >= 10
    assert first > 0.9 * all_threads


def test_the_runtime_needs_jaxlib_and_nothing_of_jax_or_tensorflow(portable: Portable, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(transport.RUNNER.parent)!r})
from runner import pjrt
tensor = {{"name": "x", "dtype": "float32", "scale": None, "zero_point": None}}
options = {{"platform": "cpu", "threads": 1, "inputs": [tensor], "outputs": [tensor]}}
pjrt.Model({str(portable("float32").path.with_suffix(".stablehlo"))!r}, options)
print(*sorted({{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)))
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {"jax", "tensorflow", "tasks"} & set(done.stdout.split())


def test_a_pair_is_measured_and_answers_with_its_own_kernels(
    portable: Portable, catalog: Any, images: np.ndarray, tmp_path: Path
) -> None:
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, image=images)
    variant, reference = portable("float16"), portable("float32")
    result = pjrt.measure(
        Request(variant, reference, catalog("host-cpu-pjrt"), QUICK, inputs, {"test": Questions(inputs)})
    )
    measurement = result.measurement
    assert measurement.status in ("ok", "invalid")  # the latter on a machine that is too busy
    assert list(result.samples) == ["00-float32", "01-float16"]
    assert result.kept["test"].values.shape == (6, 4)
    assert measurement.artifact_sha256 == variant.card.sha256
    assert measurement.details["stablehlo_sha256"] == variant.card.stablehlo.sha256  # type: ignore[union-attr]


def test_a_variant_without_stablehlo_is_unsupported_with_the_reason_and_a_changed_one_is_an_error(
    portable: Portable, described: Portable, tmp_path: Path
) -> None:
    card = described("int8").card.model_copy(update={"no_stablehlo": "scheme int8 has no StableHLO"})
    with pytest.raises(UnsupportedError, match="int8: scheme int8 has no StableHLO"):
        pjrt.program(Artifact(card, Path("model.tflite")))
    with pytest.raises(UnsupportedError, match="converted before"):
        pjrt.program(described("float32"))
    card = portable("float32").card
    (tmp_path / "float32.stablehlo").write_bytes(b"another")
    with pytest.raises(DataError, match="not the file that its card was written for"):
        pjrt.program(Artifact(card, tmp_path / "float32.tflite"))


def test_a_gpu_may_leave_the_processor_asleep_and_is_never_estimated_by_its_time(
    portable: Portable, catalog: Any, machine: Any, tmp_path: Path
) -> None:
    np.savez(tmp_path / "inputs.npz", image=np.zeros(1))
    machine.cpu_share, machine.ns["golden"] = 0.02, 140_000
    machine.energy["reason"] = "NVML cannot be read: no driver"
    one = portable("float32")
    for platform, status, kind in (("cuda", "ok", "none"), ("cpu", "invalid", "estimate_cpu_time")):
        device = catalog("nvidia-gpu", platform=platform)
        request = Request(one, one, device, QUICK, tmp_path / "inputs.npz")
        measured = timed.measure(request, pjrt.setup(device, machine)).measurement
        assert (measured.status, measured.energy.kind) == (status, kind)
    assert machine.requests[0]["energy"] == {"nvml": ""}
    assert measured.energy.mj is not None


def test_what_is_missing_is_said_with_what_to_do(catalog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pjrt.usable(catalog("host-cpu-pjrt")) is None
    assert "64 threads need as many CPUs" in str(pjrt.usable(catalog("host-cpu-pjrt", threads=64)))
    monkeypatch.setattr(nvml, "LIBRARY", "libno-such-thing.so")
    monkeypatch.setattr(nvml.Gpu.__init__, "__defaults__", ("libno-such-thing.so",))
    gpu = catalog("nvidia-gpu")
    assert "no NVIDIA GPU can be reached: NVIDIA's driver is not installed" in str(pjrt.usable(gpu))
    assert "driver is not installed" in pjrt.fingerprint(gpu)["gpu"]
    monkeypatch.setattr(nvml, "Gpu", lambda: type("Gpu", (), {"name": lambda self: "H200"})())
    assert 'pip install "jax-cuda13-plugin[with-cuda]==0.' in str(pjrt.usable(gpu))
    monkeypatch.setattr(pjrt, "plugin", lambda platform: Path("plugin.so"))
    assert pjrt.usable(gpu) is None
    monkeypatch.setattr(pjrt, "TPU_NODES", ("no-such-node",))
    assert "no TPU is attached" in str(pjrt.usable(catalog("nvidia-gpu", platform="tpu")))


def test_a_plugin_is_found_in_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.plugin("cuda") is None or runtime.plugin("cuda").is_file()  # type: ignore[union-attr]
    library = tmp_path / "jax_plugins" / "xla_cuda13" / "xla_cuda_plugin.so"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert runtime.plugin("cuda") == library


def test_the_gpu_s_facts_go_to_the_environment(portable: Portable, tmp_path: Path, images: np.ndarray) -> None:
    # by a module that stands for the runtime, in the runner's own process
    code = f"""
import json, sys
sys.path.insert(0, {str(transport.RUNNER.parent)!r})
from runner import __main__ as runner, pjrt
pjrt.Model.facts = lambda self: {{"device_kib": 5, "environment": {{"gpu": "H200"}}}}
print(json.dumps(runner.answer(json.loads(sys.argv[1]))))
"""
    np.savez(tmp_path / "given.npz", image=images)
    artifact = portable("float32")
    tensors = [[tensor.model_dump() for tensor in side] for side in (artifact.card.inputs, artifact.card.outputs)]
    options = {"platform": "cpu", "threads": 1, "inputs": tensors[0], "outputs": tensors[1]}
    paths = {"inputs": str(tmp_path / "given.npz"), "outputs": str(tmp_path / "found.npz")}
    model = str(artifact.path.with_suffix(".stablehlo"))
    ask = json.dumps({"action": "predict", "runtime": "pjrt", "model": model, "options": options, **paths})
    command = [sys.executable, "-I", "-c", code, ask]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    response = json.loads(done.stdout.splitlines()[-1])
    assert response["environment"]["gpu"] == "H200"
    assert response["facts"] == {"device_kib": 5}
