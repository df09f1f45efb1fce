import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import paths
from tasks.bench import locks, openssh, pair
from tasks.bench.kinds import KINDS, litert
from tasks.bench.request import Request, Result
from tasks.errors import DataError, DeviceError
from tasks.examples import dataset
from tasks.params import Params
from tasks.quality.score import keep
from tasks.records import Latency, Measurement, read
from tasks.stages import benchmark

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _alone(workshop: Path, images: np.ndarray, crowded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test examples without `prepare`, and a lock of this test's own."""
    monkeypatch.setattr(dataset, "load", lambda split, _count: {"test": dataset.Arrays({"image": images}, {})}[split])
    monkeypatch.setenv(locks.VARIABLE, str(workshop))


def measured(params: Params, variant: str, device: str) -> Measurement:
    benchmark.benchmark(params, variant, device)
    return read(Measurement, paths.benchmark(variant, device))


def test_a_pair_is_measured_with_its_raw_samples_beside_it(params: Params) -> None:
    before = time.time()
    record = measured(params, "int8", "host-cpu")
    assert record.status == "ok"
    assert before - 1 <= record.began_ms / 1000 <= record.ended_ms / 1000 <= time.time() + 1
    assert record.ended_ms - record.began_ms >= 1000 * sum(window.seconds for window in record.windows)
    assert record.ratio is not None
    assert record.ratio.pairs == 2
    with np.load(paths.samples("int8", "host-cpu")) as samples:
        assert len(samples.files) == 4
        p50 = [float(np.median(samples[name])) / 1e6 for name in samples.files if name.endswith("int8")]
    assert record.latency is not None
    assert record.latency.ms_p50 == pytest.approx(sum(p50) / 2)


def test_an_estimate_has_no_samples_and_the_same_bytes_each_time(params: Params) -> None:
    assert measured(params, "int8", "ethos-u55-128").status == "ok"
    files = [paths.benchmark("int8", "ethos-u55-128"), paths.samples("int8", "ethos-u55-128")]
    before = [file.read_bytes() for file in files]
    with np.load(files[1]) as samples:
        assert samples.files == []
    measured(params, "int8", "ethos-u55-128")
    assert [file.read_bytes() for file in files] == before


def test_how_scales_are_shared_is_recorded_where_a_device_wants_it_in_one_way(params: Params) -> None:
    """The golden network's converter has one scale a channel."""
    assert measured(params, "int8", "roofline-stm32mp257").details["scales"] == {"has": "channel", "wants": "tensor"}
    assert "scales" not in measured(params, "int8", "roofline-raspberry-pi-5").details


def test_what_cannot_run_is_a_result(params: Params) -> None:
    record = measured(params, "float32", "ethos-u55-128")
    assert (record.status, record.latency) == ("unsupported", None)
    told = (
        "float32 is none of the schemes that ethos-u is known to run (int8, int16x8): nothing runs on the accelerator: "
    )
    assert record.reason
    assert record.reason.startswith(told)


CONVOLUTIONAL = (  # recurrent layers, attention and embeddings have gaps of their own, which the matrix shows
    *("conv", "depthwise conv", "dense", "max pool", "average pool", "global average pool"),
    *("relu", "sigmoid", "tanh", "softmax"),
)


def test_what_a_runtime_is_known_to_run_it_runs_operator_by_operator() -> None:
    cells = json.loads((ROOT / "infra" / "support.json").read_text())["cells"]
    kinds = {"tflite-micro": "mcu-tflm", "ethos-u55": "ethos-u", "ethos-u85": "ethos-u"}
    seen: dict[str, set[str]] = {}
    for cell in cells:
        kind = kinds.get(cell["runtime"], cell["runtime"])
        if cell["operator"] in CONVOLUTIONAL and cell["scheme"] in KINDS.load(kind).schemes:
            assert cell["outcome"] in ("runs", "not converted"), cell
            seen.setdefault(kind, set()).add(cell["scheme"])
    assert seen == {name: set(KINDS.load(name).schemes) for name in KINDS if KINDS.load(name).schemes}


def test_answers_that_are_no_numbers_make_the_pair_invalid_and_keep_its_figures(
    params: Params, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(request: Request) -> Result:
        none = keep(np.full((len(images), 4), np.nan, np.float32), {}, "accuracy")
        latency = Latency(provenance="measured", ms_p50=1)
        busy = {"status": "invalid", "reason": "the machine is too busy", "passing": True}
        return Result(request.result(**busy, latency=latency), kept={"test": none})

    monkeypatch.setattr(litert, "KIND", replace(litert.KIND, measure=answered, own_kernels=True))
    labelled = dataset.Arrays({"image": images}, {dataset.LABEL: np.zeros(len(images), int)})
    monkeypatch.setattr(dataset, "load", lambda _split: labelled)
    record = measured(params, "float32", "host-cpu")
    assert (record.status, record.passing) == ("invalid", False), "they are none on a quiet day either"
    assert (
        record.reason
        == f"the answers to {len(images)} of {len(images)} test examples are no finite numbers, the first to example 0"
    )
    assert record.scores == ()
    assert record.latency is not None


@pytest.mark.parametrize("own", [True, False])
def test_a_pair_makes_each_split_ready_once_and_no_more_of_it_than_is_asked(
    params: Params, images: np.ndarray, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    loaded: list[tuple[Any, ...]] = []
    n = len(images)

    def load(*asked: Any) -> dataset.Arrays:
        loaded.append(asked)
        return dataset.Arrays({"image": images}, {dataset.LABEL: np.arange(n) % 4})

    def answered(request: Request) -> Result:
        right = {split: keep(np.eye(4, dtype="f4")[np.arange(n) % 4], {}, "accuracy") for split in request.splits}
        return Result(request.result(status="ok"), kept=right)

    monkeypatch.setattr(dataset, "load", load)
    monkeypatch.setattr(litert, "KIND", replace(litert.KIND, measure=answered, own_kernels=own))
    scores = [(score.split, score.value) for score in measured(params, "float32", "host-cpu").scores]
    assert loaded == ([("validation",), ("test",)] if own else [("test", pair.EXAMPLES)])
    assert scores == ([("validation", 1.0), ("test", 1.0)] if own else [])


def test_a_failure_is_raised_and_leaves_no_old_record(params: Params, machine: Any) -> None:
    measured(params, "int8", "host-cpu")
    machine.requests.clear()
    machine.crashes = 1
    with pytest.raises(DeviceError, match="the cable is out"):
        benchmark.benchmark(params, "int8", "host-cpu")
    assert not paths.benchmark("int8", "host-cpu").exists()
    assert not paths.samples("int8", "host-cpu").exists()
    measured(params, "int8", "host-cpu")


def test_an_artifact_that_is_not_its_cards_is_not_measured(params: Params) -> None:
    (paths.artifact("int8") / "model.tflite").write_bytes(b"another")
    with pytest.raises(DataError, match=r"out/artifacts/int8/model\.tflite: not the file"):
        benchmark.benchmark(params, "int8", "host-cpu")


def test_a_measurement_holds_the_machine_alone_and_an_estimate_does_not(
    params: Params, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[str, bool]] = []
    real = locks.hold

    def hold(resource: str, *, exclusive: bool) -> Any:
        held.append((resource, exclusive))
        return real(resource, exclusive=exclusive)

    monkeypatch.setattr(locks, "hold", hold)
    measured(params, "float32", "host-cpu")
    measured(params, "int8", "ethos-u55-128")
    assert held == [("local", True), ("local", False)]


def test_two_names_of_one_board_have_one_lock(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = workshop / "config"
    config.write_text(
        "Host pi pi-onnx\n HostName 10.0.0.7\n Port 2200\nHost other\n HostName 10.0.0.7\n"
        "Host odd\n HostName Fe80::1%eth0\n"
    )
    monkeypatch.setenv(openssh.CONFIG, str(config))
    assert openssh.board("pi") == openssh.board("pi-onnx") == "10.0.0.7:2200"
    assert openssh.board("other") == "10.0.0.7:22"
    assert "/" not in openssh.board("odd")
    config.write_text("Nonsense\n")
    assert openssh.board("pi") == "pi"


def test_curves_are_sent_before_a_measurement_begins(
    params: Params, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr("tasks.track.settle", lambda: seen.append(len(machine.requests)))
    measured(params, "int8", "host-cpu")
    measured(params, "int8", "ethos-u55-128")  # an estimate may run beside them
    assert seen == [0]
    assert machine.requests
