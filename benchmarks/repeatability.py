"""How well a measurement repeats: the paired ratio of a variant to the float32 reference on this machine's CPU.

Calls the stage `benchmark` again and again on the artifacts of a project that has run, in a scratch copy of them: the
project's records stay as they are. Two protocols: 6 windows of 1 s, and `quick` (6 of 0.15 s).

    python benchmarks/repeatability.py PROJECT [--variant int8] [--repeats 5] [--record FILE]

Needs a quiet machine and two minutes. Goal: the largest ratio over the smallest is at most 1.03, in quick mode 1.08.
Seen: README.md, beside this.
"""

import argparse
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from machine import record

from tasks import params, paths
from tasks.params import Params, Protocol
from tasks.records import Measurement, read
from tasks.stages import benchmark

DEVICE = "host-cpu"
PROTOCOLS = {"6 windows of 1 s": Protocol(mode="full", windows=6, window_s=1.0), "quick": Protocol(mode="quick")}
GOALS = {"6 windows of 1 s": 0.03, "quick": 0.08}  # the largest ratio over the smallest, less one


def scratch_copy(project: Path, folder: Path) -> None:
    """Of the project, all that the stage `benchmark` reads."""
    for part in (paths.DATA, paths.ARTIFACTS, paths.DEVICES):
        shutil.copytree(project / part, folder / part)
    shutil.copy(project / paths.PARAMS, folder)


def measure(settings: Params, variant: str, protocol: Protocol) -> Measurement:
    """One run of the stage, as `tercet run` makes it."""
    section = settings.benchmark.model_copy(update={"protocol": protocol})
    benchmark.benchmark(settings.model_copy(update={"benchmark": section}), variant, DEVICE)
    return read(Measurement, paths.benchmark(variant, DEVICE))


def repeat(name: str, settings: Params, variant: str, repeats: int) -> dict[str, object]:
    """The ratios of one protocol and how far they are apart."""
    measured = []
    for _ in range(repeats):
        found = measure(settings, variant, PROTOCOLS[name])
        if found.status != "ok" or found.ratio is None or found.latency is None:
            raise SystemExit(f"{variant} @ {DEVICE}: {found.status}: {found.reason or 'it is the reference itself'}")
        measured.append(found)
        ratio, flags = found.ratio, ", ".join(found.flags)
        print(f"{name}: {ratio.value:.4f} ({ratio.low:.4f} to {ratio.high:.4f})  {flags}", flush=True)
    ratios = [found.ratio.value for found in measured]
    spread = max(ratios) / min(ratios) - 1
    verdict = "within" if spread <= GOALS[name] else "beyond"
    print(f"{name}: spread {spread:.2%}, {verdict} {GOALS[name]:.0%}")
    return {
        "ratios": ratios,
        "intervals": [(found.ratio.low, found.ratio.high) for found in measured],
        "latency_ms_p50": [found.latency.ms_p50 for found in measured],
        "flags": [found.flags for found in measured],
        "spread": spread,
        "goal": GOALS[name],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="How far apart repeated measurements of one pair are.")
    parser.add_argument("project", type=Path, help="a folder in which `tercet run` has run")
    parser.add_argument("--variant", default="int8")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    path = options.record.resolve() if options.record else None
    with TemporaryDirectory(prefix="tercet-repeatability-") as folder:
        scratch_copy(options.project, Path(folder))
        os.chdir(folder)
        settings = params.load()
        protocols = {name: repeat(name, settings, options.variant, options.repeats) for name in PROTOCOLS}
        record(path, workload=settings.name, variant=options.variant, device=DEVICE, protocols=protocols)


if __name__ == "__main__":
    main()
