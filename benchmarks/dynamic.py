"""What `dynamic` is worth on this machine, and which kernels are better left: latency over float32's, and bytes.

Networks with and without depthwise convolutions, three files of each: as TensorFlow's converter makes them, which
leaves kernels of fewer than 1,024 numbers in float32; with all kernels int8 (`bits: {"*": 8}`); and with the depthwise
convolutions in float32 (`exclude: ["*depthwise*"]`). The weights are random, since only time and bytes are asked. Each
is measured with the float32 file as the stage `benchmark` does it: windows of both in turn, in fresh processes.

    python benchmarks/dynamic.py [--windows 7] [--window-s 0.5] [--record FILE]

Needs five minutes and a quiet machine. Seen: README.md, beside this.
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
from tasks.examples import Arrays
from tasks.examples.dataset import Spec, TensorSpec
from tasks.files import sha256
from tasks.members import FAMILIES
from tasks.params import Dscnn, MobilenetV1, MobilenetV2, MobilenetV3, Protocol, Quantize, Resnet
from tasks.quantize.litert import convert
from tasks.quantize.mixed import as_asked
from tasks.records import Runnable
from tasks.training import fit

DEVICE = "host-cpu"
EXAMPLES = 32
NETWORKS = {
    "ResNet-8": (Resnet(family="resnet"), (32, 32, 3)),
    "DS-CNN": (Dscnn(family="dscnn"), (49, 10, 1)),
    "MobileNetV1": (MobilenetV1(family="mobilenet_v1"), (96, 96, 3)),
    "MobileNetV2": (MobilenetV2(family="mobilenet_v2"), (96, 96, 3)),
    "MobileNetV3": (MobilenetV3(family="mobilenet_v3"), (96, 96, 3)),
}
FORMS: dict[str, dict[str, Any]] = {
    "as converted": {},
    "all kernels int8": {"bits": {"*": 8}},
    "without depthwise": {"exclude": ("*depthwise*",)},
}


def compare(name: str, protocol: Protocol) -> dict[str, Any]:
    """One network: bytes and time of each file over the float32 one's."""
    family, shape = NETWORKS[name]
    fit.reset(0)
    build = FAMILIES.load(family.family).build
    model = build(family, Spec({"image": TensorSpec(shape, "float32")}, tuple(map(str, range(10)))))
    image = np.random.default_rng(0).normal(size=(EXAMPLES, *shape)).astype(np.float32)
    examples = Arrays({"image": image}, {})
    contents = {"float32": convert(model, "float32", None)}
    for form, keys in FORMS.items():
        if "exclude" not in keys or any("depthwise" in layer.name for layer in model.layers):
            entry = Quantize(model="baseline", scheme="dynamic", **keys)
            contents[form] = as_asked(model, entry, examples).content
    found = {}
    with TemporaryDirectory(prefix="tercet-dynamic-") as folder:
        inputs = Path(folder) / "inputs.npz"
        np.savez(inputs, allow_pickle=False, **examples.inputs)
        whole, *others = [artifact(form, content, Path(folder)) for form, content in contents.items()]
        for other in others:
            found[other.card.variant] = figures(Request(other, whole, devices.load(DEVICE), protocol, inputs))
            print(f"{name}, {other.card.variant}: {found[other.card.variant]}", flush=True)
    return {"bytes": len(contents["float32"]), "forms": found}


def artifact(form: str, content: bytes, folder: Path) -> Artifact:
    """A file for the runner."""
    path = folder / f"{form.replace(' ', '-')}.tflite"
    path.write_bytes(content)
    scheme = "float32" if form == "float32" else "dynamic"
    return Artifact(Runnable(variant=form, scheme=scheme, sha256=sha256(path)), path)


def figures(request: Request) -> dict[str, Any]:
    """Time and bytes over those of the reference."""
    with locks.hold("local", exclusive=True):
        found = litert.measure(request).measurement
    if found.status != "ok" or found.ratio is None:
        raise SystemExit(f"{request.variant}: {found.status}: {found.reason}")
    assert request.reference
    sizes = [each.path.stat().st_size for each in (request.artifact, request.reference)]
    return {
        "latency_ratio": round(found.ratio.value, 3),
        "interval": [round(found.ratio.low, 3), round(found.ratio.high, 3)],
        "bytes": sizes[0],
        "bytes_ratio": round(sizes[0] / sizes[1], 3),
        "flags": found.flags,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What dynamic int8 is worth, by what is left in float32.")
    parser.add_argument("--windows", type=int, default=7)
    parser.add_argument("--window-s", type=float, default=0.5)
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    protocol = Protocol(mode="full", windows=options.windows, window_s=options.window_s)
    networks = {name: compare(name, protocol) for name in NETWORKS}
    record(options.record, device=DEVICE, protocol=protocol.model_dump(), networks=networks)


if __name__ == "__main__":
    main()
