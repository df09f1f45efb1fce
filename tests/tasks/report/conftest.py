"""A made-up study of eight variants on four devices, with every status, flag and provenance a record can have."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks import paths
from tasks.params import Params
from tasks.records import (
    ArtifactCard,
    ClassFigures,
    Comparison,
    Energy,
    Evaluation,
    Latency,
    Layer,
    Measurement,
    Memory,
    ModelCard,
    Ratio,
    Score,
    Subject,
    Window,
)
from tasks.report import compare
from tests.phases import of_inference

N = 360
LABELS = np.arange(N, dtype=np.int64) % 10
VALIDATION_N = 140
VALIDATION_LABELS = np.arange(VALIDATION_N, dtype=np.int64) % 10
DEVICES = ("host-cpu", "host-cpu-2t", "ethos-u55-128", "ethos-u85-256")
# variant: (model, scheme, wrong test examples, bytes, gzip bytes)
VARIANTS: dict[str, tuple[str, str, range, int, int]] = {
    "fp32": ("baseline", "float32", range(8), 1_320_000, 1_225_000),
    "fp16": ("baseline", "float16", range(8), 663_000, 600_000),
    "dynamic": ("baseline", "dynamic", range(9), 340_000, 275_000),
    "int8": ("baseline", "int8", range(1, 10), 338_000, 272_000),
    "int16x8": ("baseline", "int16x8", range(8), 345_000, 277_000),
    "pruned80-int8": ("pruned80", "int8", range(2, 12), 338_000, 96_000),
    "pruned80-clustered16-int8": ("pruned80-clustered16", "int8", range(2, 27), 338_000, 61_000),
    "longer-fp32": ("longer", "float32", range(5), 1_320_000, 1_224_000),
}
# ms on host-cpu; the ratio's half width is 4 %, or 12 % where noisy
HOST = {
    "fp32": 0.412,
    "fp16": 0.415,
    "dynamic": 0.287,
    "int8": 0.196,
    "int16x8": 3.92,
    "pruned80-int8": 0.194,
    "pruned80-clustered16-int8": 0.1965,
    "longer-fp32": 0.409,
}
# estimated ms and mJ on the U55
NPU = {"int8": (1.84, 0.52), "pruned80-int8": (1.61, 0.47), "pruned80-clustered16-int8": (1.22, 0.39)}
EPOCHS = {"baseline": 5, "pruned80": 9, "pruned80-clustered16": 10, "longer": 10}
METHODS = {"baseline": "train", "pruned80": "prune", "pruned80-clustered16": "cluster", "longer": "finetune"}


def sha(variant: str) -> str:
    return variant.encode().hex().ljust(64, "0")[:64]


def make_score(wrong: Sequence[int], split: str = "test", kernels: str = "default", n: int = N) -> Score:
    predictions = np.arange(n) % 10
    predictions[list(wrong)] = (predictions[list(wrong)] + 1) % 10
    share = 1 - len(wrong) / n
    return Score(
        metric="accuracy",
        value=share,
        low=max(0.0, share - 0.018),
        high=min(1.0, share + 0.011),
        n=n,
        kernels=kernels,  # type: ignore[arg-type]  # a test may pass any
        split=split,  # type: ignore[arg-type]
        predictions=tuple(int(p) for p in predictions),
        outputs_sha256="0" * 64,
    )


def make_confusion(wrong: Sequence[int]) -> dict[str, Any]:
    """The classes and the matrix of `make_score`: each wrong answer is the next class."""
    counts = np.diag(np.bincount(LABELS))
    for label in LABELS[list(wrong)]:
        counts[label, label] -= 1
        counts[label, (label + 1) % 10] += 1
    classes = tuple(ClassFigures(name=str(i), n=N // 10, precision=None, recall=None) for i in range(10))
    return {"classes": classes, "confusion": tuple(map(tuple, counts.tolist()))}


def make_subject(variant: str) -> Subject:
    model, scheme, wrong, size, packed = VARIANTS[variant]
    kernels = ["default", "reference"] if scheme in ("int8", "int16x8") else ["default"]
    preserves = {"pruned80": ("sparsity",), "pruned80-clustered16": ("sparsity", "clusters")}.get(model, ())
    return Subject(
        artifact=ArtifactCard(
            variant=variant,
            model=model,
            scheme=scheme,
            file="model.tflite",
            sha256=sha(variant),
            bytes=size,
            gzip_bytes=packed,
            inputs=(),
            outputs=(),
            operators={"CONV_2D": 2, "DEQUANTIZE": 8} if scheme == "float16" else {"CONV_2D": 2},
            converter="test",
        ),
        model=ModelCard(
            model=model,
            parent=None if model == "baseline" else "baseline",
            method=METHODS[model],
            parameters=330_000,
            epochs=5,
            total_epochs=EPOCHS[model],
            layers=(Layer(name="dense", parameters=330_000, sparsity=0.0, unique_values=300_000),),
            preserves=preserves,
            history={},
        ),
        evaluation=Evaluation(
            variant=variant,
            artifact_sha256=sha(variant),
            runtime="LiteRT 2.3.0",
            scores=tuple(
                score
                for k in kernels
                for score in (
                    make_score(range(len(wrong) // 2), "validation", k, VALIDATION_N),
                    make_score(wrong, "test", k),
                )
            ),
            **make_confusion(wrong),
        ),
    )


def make_measurement(variant: str, device: str, **changes: object) -> Measurement:
    """A measurement of status ok without figures, changed as asked."""
    fields: dict[str, object] = {
        "variant": variant,
        "device": device,
        "device_kind": "ethos-u" if device.startswith("ethos") else "litert",
        "status": "ok",
        "mode": "quick",
        "artifact_sha256": sha(variant),
    }
    return Measurement.model_validate(of_inference(fields | changes))


def on_host(variant: str, device: str) -> Measurement:
    speedup = 1.0 if device == "host-cpu" else 1.0 + HOST[variant] / 1.5
    ms = HOST[variant] / speedup
    reference_ms = HOST["fp32"] / (1.0 if device == "host-cpu" else 1.0 + HOST["fp32"] / 1.5)
    value = ms / reference_ms
    noisy = device == "host-cpu-2t" and variant in ("dynamic", "pruned80-int8")
    spread = 0.12 if noisy else 0.04
    known = device == "host-cpu"
    energy = (
        Energy(
            kind="estimate_cpu_time",
            mj=4 * ms,
            low_mj=ms,
            high_mj=12 * ms,
            scope="the process's CPU time; says nothing beyond it",
            formula="CPU seconds per inference × 4 W per core (1 to 12 W)",
        )
        if known
        else Energy(kind="none", reason="/sys/class/powercap is not readable: permission denied")
    )
    window = Window(
        variant=variant, runs=700, seconds=0.31, busy_s=0.3, ms_p10=ms * 0.97, ms_p50=ms, ms_mean=ms, cpu_ms_mean=ms,
        load_ms=2.0, first_ms=1.0, peak_memory_kib=41_000,
    )  # fmt: skip
    return make_measurement(
        variant,
        device,
        reference=None if variant == "fp32" else "fp32",
        latency=Latency(
            provenance="measured", ms_p50=ms, ms_p10_floor=ms * 0.97, ms_p90=ms * 1.1, window_cv=0.09 if noisy else 0.01
        ),
        ratio=None
        if variant == "fp32"
        else Ratio(value=value, low=value * (1 - spread), high=value * (1 + spread), pairs=3),
        memory=Memory(provenance="measured", peak_kib=41_200 + HOST[variant] * 100, what="peak of the process"),
        energy=energy,
        flags=("noisy",) if noisy else (),
        windows=(window,) * 3,
        environment={
            "cpu": "Example CPU @ 2.1 GHz",
            "runtime": "ai-edge-litert 2.3.0",
            "python": "3.11",
            "load": {"one": 0.1},
        },
    )


def on_npu(variant: str, device: str) -> Measurement:
    scheme = VARIANTS[variant][1]
    shared = {"kernels": "reference", "stand_in": "LiteRT reference kernels on the host"}
    if scheme == "int16x8":
        reason = "2 of 9 operators fall back to the CPU, which Vela counts as zero time: SOFTMAX, FULLY_CONNECTED"
        return make_measurement(variant, device, status="invalid", reason=reason, **shared)
    if variant not in NPU:
        reason = f"the NPU runs integers only; {variant} is {scheme}"
        return make_measurement(variant, device, status="unsupported", reason=reason, **shared)
    faster = 1.0 if device == "ethos-u55-128" else 2.9
    ms, mj = NPU[variant][0] / faster, NPU[variant][1] / faster
    return make_measurement(
        variant,
        device,
        latency=Latency(provenance="estimated", ms_p50=ms),
        memory=Memory(provenance="estimated", peak_kib=88.2, what="SRAM"),
        energy=Energy(kind="estimate_compiler", mj=mj, low_mj=mj / 2, high_mj=mj * 2, formula="MACs × pJ + bytes × pJ"),
        environment={"vela": "5.2.0", "system config": "Ethos_U55_High_End_Embedded"},
        **shared,
    )


def make_comparison(measurements: list[Measurement], variants: Sequence[str] = tuple(VARIANTS)) -> Comparison:
    subjects = [make_subject(variant) for variant in variants]
    return compare.build("digits-cnn", "fp32", subjects, measurements, LABELS, VALIDATION_LABELS)


def make_measurements() -> list[Measurement]:
    return [
        (on_npu if device.startswith("ethos") else on_host)(variant, device)
        for device in DEVICES
        for variant in VARIANTS
    ]


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    """The study, compared."""
    return make_comparison(make_measurements())


def make_params() -> Params:
    """What asks for the study."""
    compress = {
        "pruned80": {"parent": "baseline", "method": "prune", "sparsity": 0.8, "epochs": 4},
        "pruned80-clustered16": {"parent": "pruned80", "method": "cluster", "epochs": 1},
        "longer": {"parent": "baseline", "method": "finetune", "epochs": 5},
    }
    return Params.model_validate(
        {
            "name": "digits-cnn",
            "prepare": {"source": "digits"},
            "model": {"family": "cnn"},
            "train": {"epochs": 5},
            "compress": compress,
            "quantize": {name: {"model": entry[0], "scheme": entry[1]} for name, entry in VARIANTS.items()},
            "benchmark": {"reference": "fp32", "devices": list(DEVICES), "protocol": {"mode": "quick"}},
            "bundle": {"default": {"max_quality_drop": 0.1}},  # 14 of the validation examples
        }
    )


@pytest.fixture
def params() -> Params:
    """What asks for the study."""
    return make_params()


@pytest.fixture
def study(project: Path) -> Path:
    """A project with the study's files."""
    write_study()
    return project


def write_study() -> None:
    """The study's files under `out/`, as the earlier stages write them."""
    for variant in VARIANTS:
        subject = make_subject(variant)
        subject.artifact.save(paths.artifact(variant) / "card.json")
        subject.model.save(paths.model(subject.model.model) / "card.json")
        subject.evaluation.save(paths.evaluation(variant))
    for measurement in make_measurements():
        measurement.save(paths.benchmark(measurement.variant, measurement.device))
    described = {
        "schema_version": 1,
        "inputs": {"image": {"kind": "image", "shape": [1, 1, 1], "mean": [0.0], "scale": [255.0]}},
        "targets": {"label": {"kind": "class", "classes": [str(i) for i in range(10)]}},
    }
    paths.DATA.mkdir()
    (paths.DATA / "preprocess.json").write_text(json.dumps(described))
    for split, labels in (("test", LABELS), ("validation", VALIDATION_LABELS)):
        (paths.DATA / split).mkdir()
        np.save(paths.DATA / split / "inputs.image.npy", np.zeros((len(labels), 1, 1, 1), np.uint8))
        np.save(paths.DATA / split / "targets.label.npy", labels)


@pytest.fixture
def make() -> SimpleNamespace:
    """The builders, for tests that need a study of their own."""
    return SimpleNamespace(
        comparison=make_comparison,
        measurement=make_measurement,
        measurements=make_measurements,
        on_host=on_host,
        on_npu=on_npu,
        score=make_score,
        subject=make_subject,
    )
