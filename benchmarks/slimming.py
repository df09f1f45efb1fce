"""What slim is worth on this machine: float32 LiteRT latency before over after, at a share of the multiplications.

The method `slim` itself, without fine-tuning, on two residual networks at 96 or 32 pixels a side: ResNet-8 (as MLPerf
Tiny has it) and MobileNetV2 (inverted residuals with depthwise convolutions). The weights are random, since only the
time is asked: what a choice of channels costs in accuracy is the preset's to show. The slimmed network and the whole
one are measured through the runner as the stage `benchmark` does it: windows of both in turn, each in a fresh process.

    python benchmarks/slimming.py [--keep 0.5] [--scope global] [--windows 7] [--window-s 1] [--record FILE]

Needs two minutes (four with 31 windows of 0.5 s, which say more where the processor changes its clock) and a quiet
machine. Goal: 1.6 times faster at half of the multiplications. Seen: README.md, beside this.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from machine import record

from tasks.bench import devices, locks
from tasks.bench.kinds import litert
from tasks.bench.request import Artifact, Request
from tasks.channels import cost
from tasks.compress import slim
from tasks.examples import Arrays
from tasks.examples.dataset import Spec, TensorSpec
from tasks.files import sha256
from tasks.models import mobilenet_v2, resnet
from tasks.params import MobilenetV2, Protocol, Resnet, Slim
from tasks.quantize.litert import convert
from tasks.records import Measurement, Runnable
from tasks.training import fit

DEVICE = "host-cpu"
GOAL = 1.6
EXAMPLES = 32
NETWORKS = {
    "ResNet-8": (resnet.build, Resnet(family="resnet"), 32, 10),
    "MobileNetV2": (mobilenet_v2.build, MobilenetV2(family="mobilenet_v2"), 96, 2),
}


def artifact(model: Any, variant: str, folder: Path) -> Artifact:
    """The model as a float32 LiteRT file."""
    path = folder / f"{variant}.tflite"
    path.write_bytes(convert(model, "float32", None))
    return Artifact(Runnable(variant=variant, scheme="float32", sha256=sha256(path)), path)


def measure(model: Any, slimmed: Any, train: Arrays, protocol: Protocol) -> Measurement:
    """The slimmed model beside the whole one."""
    with TemporaryDirectory(prefix="tercet-slimming-") as name:
        folder = Path(name)
        inputs = folder / "inputs.npz"
        np.savez(inputs, allow_pickle=False, **train.inputs)
        whole, less = artifact(model, "whole", folder), artifact(slimmed, "slimmed", folder)
        request = Request(less, whole, devices.load(DEVICE), protocol, inputs)
        with locks.hold("local", exclusive=True):
            return litert.measure(request).measurement


def compare(name: str, params: Slim, protocol: Protocol) -> dict[str, Any]:
    """One network: what stays of it, and how much faster that is."""
    build, family, side, classes = NETWORKS[name]
    fit.reset(0)
    model = build(family, Spec({"image": TensorSpec((side, side, 3), "float32")}, tuple(map(str, range(classes)))))
    rng = np.random.default_rng(0)
    image = rng.normal(size=(EXAMPLES, side, side, 3)).astype(np.float32)
    train = Arrays({"image": image}, {"label": rng.integers(0, classes, EXAMPLES)})
    slimmed, _ = slim.apply(model, params, train, train, lambda _epoch, _metrics: None)
    macs, parameters = ([_sum(m, what) for m in (model, slimmed)] for what in ("macs", "parameters"))
    found = measure(model, slimmed, train, protocol)
    if found.status != "ok" or found.ratio is None or found.latency is None:
        raise SystemExit(f"{name}: {found.status}: {found.reason}")
    times, low, high = 1 / found.ratio.value, 1 / found.ratio.high, 1 / found.ratio.low
    verdict = "reached" if times >= GOAL else "missed"
    print(
        f"{name}: {macs[1] / macs[0]:.3f} of the MACs, {parameters[1] / parameters[0]:.3f} of the parameters, "
        f"{times:.2f} times faster ({low:.2f} to {high:.2f}): {GOAL} {verdict}",
        flush=True,
    )
    return {
        "macs": macs,
        "parameters": parameters,
        "times_faster": times,
        "interval": (low, high),
        "latency_ms_p50": found.latency.ms_p50,
        "flags": found.flags,
        "windows": [window.model_dump() for window in found.windows],
    }


def _sum(model: Any, what: str) -> int:
    return sum(getattr(layer, what) for layer in cost.of(model).values())


def main() -> None:
    parser = argparse.ArgumentParser(description="How much faster slimmed networks are.")
    parser.add_argument("--keep", type=float, default=0.5, help="share of the multiplications that stays")
    parser.add_argument("--scope", choices=["global", "uniform"], default="global")
    parser.add_argument("--score", choices=["taylor", "l1", "bn"], default="taylor")
    parser.add_argument("--windows", type=int, default=7)
    parser.add_argument("--window-s", type=float, default=1.0)
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    keys = {"keep": options.keep, "scope": options.scope, "score": options.score}
    params = Slim(method="slim", parent="baseline", epochs=0, **keys)
    protocol = Protocol(mode="full", windows=options.windows, window_s=options.window_s)
    networks = {name: compare(name, params, protocol) for name in NETWORKS}
    record(options.record, device=DEVICE, goal=GOAL, **keys, protocol=protocol.model_dump(), networks=networks)


if __name__ == "__main__":
    main()
