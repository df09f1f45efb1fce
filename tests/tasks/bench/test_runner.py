import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import transport
from tasks.bench.answers import Answer, Window
from tasks.bench.request import Artifact
from tasks.bench.runner import litert
from tasks.errors import DeviceError

Build = Callable[..., dict[str, Any]]


def run(request: dict[str, Any]) -> Answer:
    return transport.Local().run(request, {"model": Path(request["model"])}, {}, timeout_s=30)


def window(request: dict[str, Any]) -> Window:
    """The window of the one phase, as it was answered."""
    timing = run(request).timing
    assert timing
    (found,) = timing.phases.values()
    return found


def memory_of(request: dict[str, Any]) -> tuple[int, int]:
    """The levels of memory before the model was loaded and after its first inference, in KiB."""
    timing = run(request).timing
    assert timing
    assert timing.memory.before_kib
    assert timing.memory.peak_kib
    return timing.memory.before_kib, timing.memory.peak_kib


def outputs(request: dict[str, Any]) -> dict[str, np.ndarray]:
    with np.load(request["outputs"]) as file:
        return dict(file)


def by_hand(path: Path, images: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """The same inferences by the runtime alone, with its own integers, quantized one number at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in images:
        numbers = [max(-128, min(127, round(float(v) / scale) + zero_point)) for v in image.ravel()]
        interpreter.set_tensor(taken["index"], np.array(numbers, np.int8).reshape(1, *image.shape))
        interpreter.invoke()
        out_scale, out_zero = given["quantization"]
        rows.append([(int(v) - out_zero) * out_scale for v in interpreter.get_tensor(given["index"]).ravel()])
    return np.array(rows)


@pytest.mark.parametrize("kernels", ["default", "reference"])
def test_inputs_and_outputs_are_matched_by_name_whatever_their_order(request_of: Build, kernels: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((4, 3), np.float32), rng.random((4, 3), np.float32)
    request = request_of("two", "predict", {"b": b, "a": a}, kernels=kernels)
    assert run(request).outputs == ("difference", "product")
    np.testing.assert_allclose(outputs(request)["difference"], a - b, rtol=1e-6)
    np.testing.assert_allclose(outputs(request)["product"], a * b, rtol=1e-6)


def test_one_input_alone_may_have_any_name(request_of: Build, images: np.ndarray) -> None:
    named, unnamed = request_of("float32", "predict"), request_of("float32", "predict", {"x": images})
    run(named)
    expected = outputs(named)["scores"]
    run(unnamed)
    np.testing.assert_array_equal(outputs(unnamed)["scores"], expected)


def test_an_integer_model_gets_rounded_and_clipped_integers_and_gives_floats(
    request_of: Build, golden: Path, images: np.ndarray
) -> None:
    stretched = images * 3 - 1  # past both ends of the calibrated range
    from ai_edge_litert.interpreter import Interpreter

    scale, zero_point = Interpreter(str(golden / "int8.tflite")).get_input_details()[0]["quantization"]
    request = request_of("int8", "predict", {"image": stretched})
    run(request)
    expected = by_hand(golden / "int8.tflite", stretched, scale, zero_point)
    assert outputs(request)["scores"].dtype == np.float32
    np.testing.assert_allclose(outputs(request)["scores"], expected, rtol=1e-5)


def test_integer_inputs_stay_integers(request_of: Build) -> None:
    tokens = np.array([[1, 1, 1, 1, 1], [2, 2, 2, 2, 2], [1, 2, 1, 2, 2]], np.int64)
    request = request_of("tokens", "predict", {"tokens": tokens})
    run(request)
    (averages,) = outputs(request).values()
    np.testing.assert_allclose(averages[2], 0.4 * averages[0] + 0.6 * averages[1], rtol=1e-5)


def one_by_one(path: Path, sequences: np.ndarray) -> np.ndarray:
    """What a new interpreter answers to each example, so that none can know of another."""
    from ai_edge_litert.interpreter import Interpreter

    rows = []
    for sequence in sequences:
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sequence[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(rows)


@pytest.mark.parametrize(
    ("runtime", "kernels", "apart"), [("litert", "default", 0), ("litert", "reference", 1e-6), ("tflm", "", 1e-6)]
)
def test_no_example_knows_of_the_one_before_it(
    request_of: Build, golden: Path, runtime: str, kernels: str, apart: float
) -> None:
    sequences = np.random.default_rng(5).normal(size=(12, 5, 2)).astype(np.float32)
    expected = one_by_one(golden / "recurrent.tflite", sequences)
    for order in (np.arange(12), np.arange(12)[::-1], np.zeros(3, int)):
        ask = request_of("recurrent", "predict", {"sequence": sequences[order]}, kernels=kernels, runtime=runtime)
        run(ask)
        (found,) = outputs(ask).values()
        np.testing.assert_allclose(found, expected[order], rtol=0, atol=apart)


@pytest.mark.parametrize(
    ("name", "kernels", "parts", "left"),
    [
        ("float32", "default", 1, {}),
        ("mixed", "default", 1, {"CUMSUM": 1}),
        ("tokens", "default", 1, {"GATHER": 1}),
        ("int16x8", "default", 0, {"CONV_2D": 1, "FULLY_CONNECTED": 1, "RESHAPE": 1}),
        ("float32", "reference", 0, {"CONV_2D": 1, "FULLY_CONNECTED": 1, "RESHAPE": 1}),
    ],
)
def test_what_xnnpack_leaves_to_litert_is_told(
    described: Callable[[str], Artifact], name: str, kernels: str, parts: int, left: dict[str, int]
) -> None:
    artifact = described(name)
    told = litert.Model(str(artifact.path), {"kernels": kernels, "threads": 1}).facts()["delegate"]
    assert told == {"operators": sum(artifact.card.operators.values()), "parts": parts, "outside": left}


def test_what_stands_between_the_parts_of_a_delegate_is_outside() -> None:
    """a -> b -> c -> d -> e, of which the delegate runs a with b, and d; c reads a weight, -1 is what is left out."""

    def operator(name: str, index: int, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
        return {"op_name": name, "index": index, "inputs": np.array(inputs), "outputs": np.array(outputs)}

    chain = [operator(kind, k, [k, -1], [k + 1]) for k, kind in enumerate("abcde")]
    chain[2]["inputs"] = np.array([2, 99])
    parts = [operator(litert.DELEGATE, 5, [0], [2]), operator(litert.DELEGATE, 6, [3], [4])]
    assert litert.outside([*chain, *parts], [5]) == {"operators": 5, "parts": 2, "outside": {"c": 1, "e": 1}}
    assert litert.outside([*chain, *parts], [4])["outside"] == {"c": 1}, "nobody asks for e"
    assert litert.outside(chain, [5])["outside"] == dict.fromkeys("abcde", 1)


def test_what_the_runtime_refuses_is_unsupported_with_its_reason_in_one_line(request_of: Build, tmp_path: Path) -> None:
    x = {"x": np.ones((1, 3), np.float32)}
    response = run(request_of("custom", "predict", x))
    assert response.status == "unsupported"
    assert "igamma" in str(response.reason).lower()
    assert "\n" not in response.reason
    (tmp_path / "noise.tflite").write_bytes(bytes(range(256)) * 8)
    assert run(request_of("noise", "predict", model=str(tmp_path / "noise.tflite"))).status == "unsupported"


def test_a_missing_file_and_misshapen_inputs_are_errors(request_of: Build, images: np.ndarray) -> None:
    with pytest.raises(DeviceError, match=r"nothing-here\.tflite"):
        run(request_of("nothing-here", "predict"))
    with pytest.raises(DeviceError, match=r"inputs: the model takes \['image'\]"):
        run(request_of("float32", "predict", {"image": images, "more": images}))
    with pytest.raises(DeviceError, match="predict of"):
        run(request_of("float32", "predict", {"image": images[:, :4]}))
    same = np.ones((4, 3), np.float32)  # by their order they would be taken for each other, and nobody would notice
    with pytest.raises(DeviceError, match=r"takes \['a', 'b'\]; received \['b', 'c'\]; several are matched by name"):
        run(request_of("two", "predict", {"b": same, "c": same}))


def test_a_window_reaches_both_its_bounds(request_of: Build) -> None:
    few = request_of("int8", "time", min_runs=7, window_s=0.0)
    assert window(few).runs == 7
    long = request_of("int8", "time", min_runs=1, window_s=0.2)
    timing = run(long).timing
    assert timing
    assert list(timing.phases) == ["infer"]
    found = timing.phases["infer"]
    with np.load(long["samples"]) as arrays:
        samples = arrays["infer"]
    assert samples.dtype == np.uint64
    assert found.runs == len(samples) > 100
    assert (found.unit, found.volume, found.period) == ("inference", 1, 1)
    assert 0.2 <= found.seconds < 1
    assert 0 < samples.sum() / 1e9 <= found.seconds
    assert found.busy_s == pytest.approx(samples.sum() / 1e9)
    assert 0 < found.busy_cpu_s < found.cpu_s <= found.seconds * 1.1
    assert 0 < found.empty_ns < samples.min()
    assert found.preempted is not None
    assert found.preempted >= 0
    assert timing.load_ms > 0
    before, peak = memory_of(few)
    assert peak > before > 1000


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_examples_are_not_in_the_memory_of_a_model(request_of: Build, images: np.ndarray, name: str) -> None:
    """As many as 31 MB of them, and as many again in a float model's own type."""
    few = memory_of(request_of(name, "time", {"image": images[:1]}))
    many = memory_of(request_of(name, "time", {"image": np.tile(images, (20_000, 1, 1, 1))}))
    grown = [peak - before for before, peak in (few, many)]
    assert many[0] - few[0] > 20_000
    assert abs(grown[1] - grown[0]) < 2_000


def test_the_runtime_is_not_in_the_memory_of_a_model(request_of: Build) -> None:
    """LiteRT's library alone takes several megabytes; a model of a few kB does not."""
    before, peak = memory_of(request_of("int8", "time"))
    assert peak - before < 8_000


def test_the_placing_of_inputs_is_not_in_the_cpu_time_of_an_inference(request_of: Build) -> None:
    """Two inputs to place beside each inference of next to nothing."""
    wide = np.zeros((2, 3), np.float32)
    found = window(request_of("two", "time", {"a": wide, "b": wide}, window_s=0.3))
    gaps_s = found.seconds - found.busy_s
    assert gaps_s > 0.1 * found.seconds  # there is something to leave out
    assert found.busy_cpu_s < found.cpu_s - 0.3 * min(gaps_s, found.cpu_s)


def test_the_warm_up_is_not_in_the_samples(request_of: Build) -> None:
    start = time.perf_counter()
    found = window(request_of("int8", "time", warmup_s=0.5, min_runs=5))
    assert found.runs == 5
    assert time.perf_counter() - start > 0.5 > found.seconds


def test_stdout_is_one_line_whatever_else_is_printed_and_only_numpy_and_the_runtime_are_imported(
    request_of: Build,
) -> None:
    # start-up hooks: of setuptools, where that is installed, and of Debian's Python
    code = f"""
import os, runpy, sys
talks = lambda event, args: event == "open" and str(args[0]).endswith(".tflite") and os.write(1, b"chatter\\n")
sys.addaudithook(talks)  # prints past Python as soon as the model is opened
sys.path.insert(0, {str(transport.RUNNER.parent)!r})
runpy.run_module("runner", run_name="__main__", alter_sys=True)
roots = {{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)
print(*sorted(roots - {{"__main__", "_distutils_hack", "sitecustomize", "runner"}}), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=json.dumps(request_of("int8", "predict")),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "chatter" in done.stderr
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout)["status"] == "ok"
    assert done.stderr.splitlines()[-1].split() == ["ai_edge_litert", "numpy"]


def zone(folder: Path, name: str, energy_uj: int, range_uj: int = 10**9) -> Path:
    folder.mkdir(parents=True)
    (folder / "name").write_text(name + "\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder / "energy_uj"


@contextmanager
def advancing(counter: Path, watts: float) -> Iterator[None]:
    """A counter that rises with the clock, in steps of about a millisecond."""
    stop = threading.Event()
    begun = time.perf_counter()

    def advance() -> None:
        while not stop.wait(0.001):
            value = int(watts * 1e6 * (time.perf_counter() - begun))
            fresh = counter.with_suffix(".new")
            fresh.write_text(f"{value}\n")
            fresh.replace(counter)  # a reader never sees half a number

    thread = threading.Thread(target=advance)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_energy_counters_are_read_around_the_window_and_in_idle(request_of: Build, tmp_path: Path) -> None:
    from tasks.bench import meters

    root = tmp_path / "powercap"
    package = zone(root / "intel-rapl:0", "package-0", 0, range_uj=262_143_328_850)
    zone(root / "intel-rapl:0" / "intel-rapl:0:0", "core", 77)
    zone(root / "intel-rapl:0" / "intel-rapl:0:1", "dram", 500)
    zone(root / "intel-rapl:1", "psys", 900)
    with advancing(package, watts=5.0):
        found = window(request_of("int8", "time", window_s=0.5, idle_s=0.3))
    counter = found.energy
    assert [(zone.name, zone.range_uj) for zone in counter.zones] == [("package-0", 262_143_328_850), ("dram", 10**9)]
    assert counter.reason is None
    assert counter.update_s
    assert 0.0005 < counter.update_s < 0.02
    energy = meters.window_energy(found)
    assert energy.active_w == pytest.approx(5, rel=0.15)
    assert energy.idle_w == pytest.approx(5, rel=0.25)
    assert energy.zones_mj["intel-rapl:0:1 dram"] == 0


def test_a_counter_that_cannot_be_read_gives_a_reason_and_no_number(request_of: Build, tmp_path: Path) -> None:
    root = tmp_path / "powercap"
    assert "no RAPL package" in str(window(request_of("int8", "time")).energy.reason)
    counter = zone(root / "intel-rapl:0", "package-0", 5)
    counter.unlink()
    counter.mkdir()  # unreadable even for root
    energy = window(request_of("int8", "time")).energy
    assert "cannot be read" in str(energy.reason)
    assert energy.zones == ()
    assert energy.idle == (None, None)
