"""What orchestration costs: the wall time of `tercet run` over that of a bare script that does the same.

The bare script is bare.py, beside this one. Each starts in a fresh copy of the project (a clone of HEAD: nothing
trained, no cache, no records) with this environment; they take turns, and their artifacts must be the same bytes. The
flow's time covers all that a user waits for: Prefect's server, DVC's cache, the report, the bundles, MLflow and its new
database. What a machine does only once is not in it: a small first run, not counted, has Python compile what is
imported and Prefect make its database.

    python benchmarks/orchestration.py [--preset digits-cnn] [--repeats 1] [--record FILE]

Needs a quiet machine and, with digits-cnn, some minutes. Goal: a ratio of at most 1.15. Seen: README.md, beside this.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from machine import ROOT, commit, environment, record

from tasks.files import sha256

LIMIT_S = 3600
WAITED = "another process measures or trains on this machine"  # what tasks/bench/transport.py says then
COMMANDS = {
    "bare": [sys.executable, str(Path(__file__).with_name("bare.py"))],
    "flow": [str(Path(sys.executable).with_name("tercet")), "run"],
}


def fresh_copy(folder: Path, preset: str) -> None:
    """A clone of HEAD with the preset as its params.yaml."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True, timeout=60)
    shutil.copyfile(folder / "infra" / "presets" / f"{preset}.yaml", folder / "params.yaml")


def seconds(command: list[str], project: Path, home: Path) -> float:
    """How long the command takes in the project; its output is shown only if it fails."""
    variables = {**environment(project), "PREFECT_HOME": str(home)}
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=project, env=variables, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    took = time.perf_counter() - start
    if WAITED in done.stderr:
        print("another process trained or measured meanwhile: this figure has its waiting in it", flush=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return took


def made(project: Path) -> dict[str, str]:
    """What the run has produced: the hash of each artifact, and the name of each evaluation and measurement."""
    out = project / "out"
    artifacts = {path.parent.name: sha256(path) for path in out.glob("artifacts/*/model.tflite")}
    return artifacts | {path.name: "" for folder in ("evaluations", "benchmarks") for path in out.glob(f"{folder}/*")}


def turn(name: str, preset: str, home: Path) -> tuple[float, dict[str, str]]:
    """One side in a copy of its own, which is deleted: its seconds, and what it made."""
    with TemporaryDirectory(prefix="tercet-orchestration-", ignore_cleanup_errors=True) as folder:
        project = Path(folder, "project")
        fresh_copy(project, preset)
        took = seconds(COMMANDS[name], project, home)
        print(f"{name}: {took:.1f} s", flush=True)
        return took, made(project)


def alternate(preset: str, repeats: int, home: Path) -> dict[str, list[float]]:
    """The seconds of each turn of both sides."""
    took: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(repeats):
        names = list(COMMANDS)
        outcomes = {name: turn(name, preset, home) for name in (names if number % 2 == 0 else reversed(names))}
        if outcomes["bare"][1] != outcomes["flow"][1]:
            raise SystemExit(f"the two did not make the same: {outcomes['bare'][1]} and {outcomes['flow'][1]}")
        for name, (one, _) in outcomes.items():
            took[name].append(one)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description="The flow's wall time over a bare script's.")
    parser.add_argument("--preset", default="digits-cnn", help="one whose data needs no file (default: digits-cnn)")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    if commit().endswith("-dirty"):
        print("files differ from HEAD; HEAD is what is measured")
    with TemporaryDirectory(prefix="tercet-prefect-", ignore_cleanup_errors=True) as home:
        print("once, not counted: ", end="", flush=True)
        first, _ = turn("flow", "smoke", Path(home))
        took = alternate(options.preset, options.repeats, Path(home))
    ratios = [flow / bare for flow, bare in zip(took["flow"], took["bare"], strict=True)]
    medians = {name: median(values) for name, values in took.items()}
    print(f"{options.preset}: bare {medians['bare']:.1f} s, flow {medians['flow']:.1f} s, ratio {median(ratios):.3f}")
    figures = {"seconds": took, "medians": medians, "ratios": ratios, "ratio": median(ratios)}
    record(options.record, preset=options.preset, first_smoke_flow_s=first, **figures)


if __name__ == "__main__":
    main()
