"""Tercet's variants beside what other compressors make of the same trained model.

Same baseline, training data, calibration data, runtime, machine and run: the files of a project that has run (its
presets' variants), and those of ai-edge-quantizer's recipes, of TFMOT's own tutorials and of NNCF's post-training int8
(peer_tools.py), are scored on the test split and measured in turns with the float32 baseline. LiteRT files meet on
host-cpu; what is OpenVINO's meets Tercet's on host-cpu-openvino.

    python benchmarks/peers.py PROJECT [--record FILE]

NNCF is no dependency of the project: `uv pip install --target FOLDER --no-deps nncf==3.4.0 safetensors` first, with
FOLDER in PYTHONPATH, or its line says that it is missing. Needs a quiet machine and, on MNIST, half an hour. Goal: no
peer's point dominates one of Tercet's front of accuracy against bytes (raw, gzip) or against latency.
"""

import argparse
import gzip
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from machine import record
from peer_tools import LITERT, OPENVINO, Maker

from tasks import params, paths
from tasks.bench import devices, locks, pair, timed, transport
from tasks.bench.kinds import openvino
from tasks.bench.predict import predict
from tasks.bench.request import Artifact, Questions, Request, Result, made_in
from tasks.examples import dataset
from tasks.files import sha256
from tasks.params import BASELINE, Params, Protocol
from tasks.quality.score import score
from tasks.quantize import litert
from tasks.records import ArtifactCard, Measurement, Ratio, Split
from tasks.training import fit, keras_files

PROTOCOL = Protocol(mode="full", windows=6, window_s=1.0)
DEVICES = {"host-cpu": LITERT, "host-cpu-openvino": OPENVINO}
COSTS = ("bytes", "gzip_bytes", "latency_ratio")


@dataclass(frozen=True)
class Point:
    """One file on one device."""

    tool: str
    name: str
    device: str
    accuracy: float
    n: int
    bytes: int
    gzip_bytes: int
    latency_ratio: float | None  # to the float32 baseline; none: the runtime refuses the file
    ratio_low: float | None
    ratio_high: float | None
    reason: str | None = None


def make(name: str, maker: Maker, device: str, reference: Artifact, folder: Path) -> Artifact:
    """A peer's file and a card for it, in `folder`."""
    fit.reset(0)
    model, _ = keras_files.load(BASELINE)
    file = folder / ("model.xml" if device == "host-cpu-openvino" else "model.tflite")
    maker(model, reference.path, dataset.load("train").arrays(), dataset.load("calibration").arrays(), file)
    parts = [path.read_bytes() for path in sorted(folder.iterdir())]
    known = {"inputs": reference.card.inputs, "outputs": reference.card.outputs, "operators": {}}
    if file.suffix == ".tflite":
        graph = litert.inspect(parts[0])
        known = {"inputs": graph.inputs, "outputs": graph.outputs, "operators": graph.operators}
    figures = {"bytes": sum(map(len, parts)), "gzip_bytes": sum(len(gzip.compress(p, 9, mtime=0)) for p in parts)}
    fields = {**reference.card.model_dump(), **figures, **known, "variant": name, "file": file.name}
    return Artifact(ArtifactCard(**{**fields, "sha256": sha256(file), "stablehlo": None}), file)


def point(tool: str, artifact: Artifact, reference: Artifact, device: str) -> Point:
    """Score an artifact on the test split, and measure it on a device."""
    foreign = artifact.path.suffix == ".xml"
    measure = _measure_unread if foreign else pair.measure
    found = measure(artifact, reference, device, PROTOCOL, ("test",)).measurement
    examples = dataset.load("test").arrays()
    if found.scores:
        quality = found.scores[0]
    else:
        outputs, _ = predict(artifact.path, examples)
        quality = score(next(iter(outputs.values())), examples, "default", "test")
    ratio = _ratio(found, artifact is reference)
    sizes = {"bytes": artifact.card.bytes, "gzip_bytes": artifact.card.gzip_bytes}
    name = artifact.card.variant
    print(f"{device}  {tool}  {name}: {quality.value:.4f}  {sizes}  {ratio or found.reason}", flush=True)
    return Point(
        tool=tool,
        name=name,
        device=device,
        accuracy=quality.value,
        n=quality.n,
        **sizes,
        latency_ratio=ratio.value if ratio else None,
        ratio_low=ratio.low if ratio else None,
        ratio_high=ratio.high if ratio else None,
        reason=found.reason,
    )


def _measure_unread(
    artifact: Artifact, reference: Artifact, device: str, protocol: Protocol, splits: tuple[Split, ...]
) -> Result:
    """As `pair.measure`, for a file that LiteRT cannot read, so that the two cannot be compared."""
    examples = dataset.load(splits[-1]).arrays()
    with TemporaryDirectory(prefix="tercet-inputs-") as folder:
        files = {name: Path(folder, f"{name}.npz") for name in ("timed", "split")}
        np.savez(files["timed"], allow_pickle=False, **{k: v[: pair.EXAMPLES] for k, v in examples.inputs.items()})
        np.savez(files["split"], allow_pickle=False, **examples.inputs)
        found = devices.load(device)
        request = Request(artifact, reference, found, protocol, files["timed"], {splits[-1]: Questions(files["split"])})
        with locks.hold("local", exclusive=True):
            result = timed.judge(request, openvino.setup(found, transport.Local()))
    quality = score(result.kept[splits[-1]].values, examples, "default", splits[-1])
    return replace(result, measurement=result.measurement.model_copy(update={"scores": (quality,)}))


def _ratio(found: Measurement, is_reference: bool) -> Ratio | None:
    if is_reference:
        return Ratio(value=1.0, low=1.0, high=1.0, pairs=0)
    return found.ratio if found.status == "ok" else None


def dominated(points: list[Point]) -> list[str]:
    """Each of our front's points that a peer's beats: as accurate, as cheap, and better in one; noise is no better."""
    found = []
    for cost in COSTS:
        known = [p for p in points if getattr(p, cost) is not None]
        for peer in (p for p in known if p.tool != "tercet"):
            rivals = [p for p in known if p.tool == "tercet" and p.device == peer.device]
            beaten = [ours for ours in _front(rivals, cost) if _beats(peer, ours, cost)]
            found += [f"{cost} on {peer.device}: {peer.name} beats {ours.name}" for ours in beaten]
    return found


def _front(points: list[Point], cost: str) -> list[Point]:
    return [p for p in points if not any(_beats(other, p, cost) for other in points)]


def _beats(one: Point, other: Point, cost: str) -> bool:
    cheaper = getattr(one, cost) < getattr(other, cost)
    no_dearer = getattr(one, cost) <= getattr(other, cost)
    if cost == "latency_ratio":  # intervals that overlap say nothing
        cheaper, no_dearer = one.ratio_high < other.ratio_low, one.ratio_low <= other.ratio_high
    return one.accuracy >= other.accuracy and no_dearer and (one.accuracy > other.accuracy or cheaper)


def compare(settings: Params) -> list[Point]:
    """Every point of both sides, device by device."""
    ours = {name: made_in(paths.artifact(name)) for name in settings.quantize}
    reference = ours[settings.benchmark.reference]
    points = []
    for device, makers in DEVICES.items():
        points += [point("tercet", artifact, reference, device) for artifact in ours.values()]
        for name, maker in makers.items():
            with TemporaryDirectory(prefix="tercet-peer-") as folder:
                try:
                    artifact = make(name, maker, device, reference, Path(folder))
                except ModuleNotFoundError as error:
                    print(f"{name}: left out: {error}", flush=True)
                    continue
                points.append(point(name.split()[0], artifact, reference, device))
    return points


def scratch_copy(project: Path, folder: Path) -> None:
    """Of the project, all that is read here."""
    for part in (paths.DATA, paths.ARTIFACTS, paths.MODELS / BASELINE, paths.DEVICES):
        shutil.copytree(project / part, folder / part)
    shutil.copy(project / paths.PARAMS, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tercet's variants beside other compressors' files.")
    parser.add_argument("project", type=Path, help="a folder in which `tercet run` has run")
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    path = options.record.resolve() if options.record else None
    with TemporaryDirectory(prefix="tercet-peers-") as folder:
        scratch_copy(options.project, Path(folder))
        os.chdir(folder)
        settings = params.load()
        points = compare(settings)
        beaten = dominated(points)
        print("\n".join(beaten) or "no peer's point dominates one of our fronts")
        everything: list[dict[str, Any]] = [asdict(p) for p in points]
        record(path, workload=settings.name, protocol=PROTOCOL.model_dump(), points=everything, dominated=beaten)


if __name__ == "__main__":
    main()
