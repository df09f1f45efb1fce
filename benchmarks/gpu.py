"""Variants measured on a GPU machine that has nothing but Python 3.11, numpy and jaxlib with its CUDA plugin.

Three steps, of which only the second needs the GPU:

    python benchmarks/gpu.py prepare --project PROJECT --out FOLDER [--variants fp32 fp16 ...]
    python benchmarks/gpu.py measure --folder FOLDER --out RESULTS
    python benchmarks/gpu.py record --project PROJECT --folder RESULTS --record benchmarks/records/h200.json

`prepare` runs the protocol against nobody, and keeps every request that it makes: what is asked is what `tercet run`
would ask. `measure` puts them to the runner, window by window, in the order of `intervals.turned`: R V W, W V R, W V R,
R V W, …, so that all variants share the reference's windows. `record` runs the protocol again, on the answers; its
records are the stage's. Windows take 11 s: the energy counter of a large GPU moves ten times a second, and a window
needs 100 of its steps.

PROJECT is a folder in which `tercet run` has run; the first variant is the reference.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # it is not installed on the GPU machine

from tasks.bench.answers import Answer, Kept, Memory, Timing, parse  # noqa: E402
from tasks.errors import DeviceError  # noqa: E402
from tasks.intervals import turned  # noqa: E402

DEVICE = ROOT / "infra" / "devices" / "nvidia-gpu.yaml"
VARIANTS = ("fp32", "fp16", "pruned80-fp32")
WINDOW_S = 11.0
EXAMPLES = 32  # that a window cycles over
TIMEOUT_S = 120.0
PREDICTED = ("validation", "test")


class Asked:
    """A session that answers nothing, and keeps what it is asked and the files for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.times: dict[str, list[int]] = {}  # by request: how often each protocol makes it
        self.now: Counter[str] = Counter()

    def run(self, request: dict, files: Mapping[str, Path], results: Mapping[str, Path], **_limits: Any) -> Answer:
        key = described(request, files)
        self.now[key] += 1
        for path in files.values():
            shutil.copy(path, self.folder / stored(path))
        if "outputs" in results:
            np.savez(results["outputs"], kept=np.zeros(1, np.float32))
            return Answer("ok", None, {}, kept=Kept(n=1, sha256="", bad=0, first_bad=None, refused=None))
        np.savez(results["samples"], none=np.ones(1, np.uint64))
        return Answer("ok", None, {}, timing=Timing(0.0, 0.0, Memory(None, None), {}))


class Answered:
    """A session that gives, of the answers that were kept, the next to the same request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        self.now: Counter[str] = Counter()

    def run(self, request: dict, files: Mapping[str, Path], results: Mapping[str, Path], **_limits: Any) -> Answer:
        key = described(request, files)
        number = f"{list(self.answers).index(key)}-{self.now[key]}" if key in self.answers else None
        if number is None or self.now[key] >= len(self.answers[key]):
            raise SystemExit(f"{self.folder}: no answer to {key}: was FOLDER prepared from this PROJECT, as it is now?")
        answer = parse(self.answers[key][self.now[key]])
        self.now[key] += 1
        if answer.status == "error":
            raise DeviceError(answer.reason)
        with np.load(self.folder / "arrays.npz", allow_pickle=False) as arrays:
            if answer.timing:
                (phase,) = answer.timing.phases
                np.savez(results["samples"], **{phase: arrays[number].astype(np.uint64)})
            else:
                np.savez(results["outputs"], kept=arrays[number])
        return answer


def described(request: dict, files: Mapping[str, Path]) -> str:
    """A request as one line that is the same wherever the files lie."""
    from tasks.files import sha256

    names = {key: stored(path) for key, path in files.items()}
    return json.dumps({"request": request, "files": names, "sha256": sha256(files["model"])}, sort_keys=True)


def stored(path: Path) -> str:
    return f"{path.parent.name}-{path.name}"


def requests(variants: list[str], folder: Path) -> dict[str, Any]:
    """What the stage `benchmark` would measure, in the working directory's project."""
    from tasks import paths
    from tasks.bench import devices
    from tasks.bench.request import Artifact, Questions, Request
    from tasks.examples import dataset
    from tasks.params import Protocol
    from tasks.records import ArtifactCard, read

    files = {split: folder / "data" / f"{split}.npz" for split in ("inputs", *PREDICTED)}
    files["inputs"].parent.mkdir()
    for split, path in files.items():
        inputs = dataset.load("test" if split == "inputs" else split).arrays().inputs
        np.savez(path, **{name: array[:EXAMPLES] if split == "inputs" else array for name, array in inputs.items()})
    cards = [read(ArtifactCard, paths.artifact(variant) / "card.json") for variant in variants]
    artifacts = [Artifact(card, paths.artifact(card.variant) / card.file) for card in cards]
    device, protocol = devices.parse(DEVICE), Protocol(mode="full", window_s=WINDOW_S)
    splits = {split: Questions(files[split]) for split in PREDICTED}
    return {
        artifact.card.variant: Request(artifact, artifacts[0], device, protocol, files["inputs"], splits)
        for artifact in artifacts
    }


def prepare(options: argparse.Namespace) -> None:
    from tasks.bench import judging, timed
    from tasks.bench.kinds import pjrt
    from tasks.bench.request import Questions

    out = options.out.resolve()
    out.mkdir(parents=True)
    os.chdir(options.project)
    asked = Asked(out)
    times: Counter[str] = Counter()
    with TemporaryDirectory(prefix="tercet-gpu-") as folder:
        for request in requests(options.variants, Path(folder)).values():
            asked.now.clear()
            setup = pjrt.setup(request.device, asked)
            timed.shoot(request, setup)
            timed.kept(request, setup)
            judging.kept(request.artifact, Questions(request.inputs), setup)  # what LiteRT's are compared with
            times |= asked.now
    (out / "requests.json").write_text(json.dumps(times, indent=1) + "\n", encoding="utf-8")
    size = sum(file.stat().st_size for file in out.iterdir())
    print(f"{out}: {sum(times.values())} requests, {size / 1e6:.1f} MB")


def measure(options: argparse.Namespace) -> None:
    """Put every request to the runner, those that are asked several times in turn, and keep what each turn gives."""
    times = json.loads((options.folder / "requests.json").read_text(encoding="utf-8"))
    answers: dict[str, list[dict]] = {key: [] for key in sorted(times, key=lambda key: -times[key])}
    arrays: dict[str, Any] = {}
    options.out.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    for k in range(max(times.values())):
        order = [*enumerate(answers)]
        for i, key in reversed(order) if turned(k) else order:
            if k >= times[key]:
                continue
            kept = json.loads(key)
            answer, array = ask(kept, options.folder)
            if not arrays and answer.status != "ok":  # nothing works, and the machine's time is dear
                raise SystemExit(f"the first request: {answer.status}: {answer.reason}")
            answers[key].append(asdict(answer))
            said = answer.reason or ""
            if array is not None:
                arrays[f"{i}-{k}"] = array
                said = f"p50 {np.median(array) / 1e6:.4f} ms" if kept["request"]["action"] == "time" else array.shape
            what = f"{kept['request']['action']} {kept['files']['model']}"
            print(f"{time.perf_counter() - start:5.0f} s  {what}  {answer.status}  {said}", flush=True)
        (options.out / "answers.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
        np.savez_compressed(options.out / "arrays.npz", **arrays)


def ask(kept: dict[str, Any], folder: Path) -> tuple[Answer, Any]:
    """The runner's answer to one request, and the array that it wrote."""
    from tasks.bench.transport import Local

    files = {key: folder / name for key, name in kept["files"].items()}
    with TemporaryDirectory(prefix="tercet-gpu-") as temporary:
        written = Path(temporary, "arrays.npz")
        results = {"samples" if kept["request"]["action"] == "time" else "outputs": written}
        try:
            answer = Local().run(kept["request"], files, results, timeout_s=TIMEOUT_S)
        except DeviceError as error:
            return Answer("error", str(error), {}), None
        if answer.status != "ok":
            return answer, None
        with np.load(written, allow_pickle=False) as arrays:
            if answer.timing:
                return answer, arrays[next(iter(answer.timing.phases))].astype(np.uint32)
            return answer, arrays["kept"]


def record(options: argparse.Namespace) -> None:
    import machine

    from tasks.bench.kinds import pjrt
    from tasks.examples import dataset
    from tasks.quality.score import score

    results, path = options.folder.resolve(), options.record.resolve()
    measurements = []
    with TemporaryDirectory(prefix="tercet-gpu-") as folder:
        Path(folder, "out").symlink_to(options.project.resolve() / "out")
        os.chdir(folder)  # where the levels of earlier runs are not the project's
        for variant, request in requests(options.variants, Path(folder)).items():
            result = pjrt.measured(request, pjrt.setup(request.device, Answered(results)))
            scores = [score(each.values, dataset.load(split), "default", split) for split, each in result.kept.items()]
            found = result.measurement.model_copy(update={"scores": tuple(scores)})
            measurements.append(found.model_dump(mode="json"))
            latency, energy, accuracy = found.latency, found.energy, {s.split: s.value for s in scores}
            print(f"{variant}: {found.status} {found.reason or ''} p50 {latency.ms_p50:.4f} ms, ratio {found.ratio},")
            print(f"    {energy.mj} mJ gross ({energy.low_mj} to {energy.high_mj}), {energy.mj_with_input} as a whole")
            print(f"    ratio {energy.ratio}, net {energy.net_mj} ({energy.reason}), {accuracy}, {found.flags}")
        machine.record(path, machine=measurements[0]["environment"], measurements=measurements)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure variants on a GPU machine that has none of the dependencies.")
    steps = parser.add_subparsers(required=True)
    for step, paths in (
        (prepare, ("project", "out")),
        (measure, ("folder", "out")),
        (record, ("project", "folder", "record")),
    ):
        words = steps.add_parser(step.__name__)
        words.set_defaults(step=step)
        for name in paths:
            words.add_argument(f"--{name}", type=Path, required=True)
        if step is not measure:
            words.add_argument("--variants", nargs="+", default=list(VARIANTS), help="the first is the reference")
    options = parser.parse_args()
    options.step(options)


if __name__ == "__main__":
    main()
