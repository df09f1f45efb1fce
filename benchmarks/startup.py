"""How long the user waits before anything happens: `tercet --help`, `tercet run` with nothing to do, the heavy imports.

Every figure is the median over fresh processes, files in the page cache (the first of each is not counted).

    python benchmarks/startup.py [--project FOLDER] [--repeats 5] [--record FILE]

Without --project, `tercet run` is left out. The project is brought up to date first, which may take its time. Goals:
`--help` under 0.5 s, nothing to do under 8 s. Seen: README.md, beside this.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from machine import ROOT, environment, record

LIMIT_S = 3600
TERCET = str(Path(sys.executable).with_name("tercet"))
IMPORTS = {
    "python alone": "pass",
    "flows.cli": "import flows.cli",
    "tasks.params": "import tasks.params",
    "dvc": "import dvc.repo",
    "prefect": "import prefect",
    "mlflow": "import mlflow",
    "tensorflow, tf_keras, tfmot": "from tasks.training import fit; fit.import_tensorflow()",
}
IDLE = "no stage to run"  # what `tercet run` says then


def timed(command: list[str], folder: Path) -> tuple[float, str]:
    """Seconds that the command takes in the folder, with the folder's own code, and what it said."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    took = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-1000:]}\n{done.stderr[-1000:]}")
    return took, done.stdout + done.stderr


def repeated(name: str, command: list[str], folder: Path, repeats: int, expected: str = "") -> list[float]:
    """The seconds of each run after the first."""
    runs = [timed(command, folder) for _ in range(repeats + 1)][1:]
    if not all(expected in said for _, said in runs):
        raise SystemExit(f"{name}: expected it to say {expected!r}; it said {runs[-1][1][-1000:]}")
    took = [seconds for seconds, _ in runs]
    print(f"{name:40} {median(took):7.2f} s  ({min(took):.2f} to {max(took):.2f})", flush=True)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description="How long the command takes to start.")
    parser.add_argument("--project", type=Path, help="a folder in which `tercet run` may run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    seconds = {"tercet --help": repeated("tercet --help", [TERCET, "--help"], ROOT, options.repeats)}
    if options.project:
        name = "tercet run, nothing to do"
        seconds[name] = repeated(name, [TERCET, "run"], options.project.resolve(), options.repeats, IDLE)
    for name, code in IMPORTS.items():
        seconds[name] = repeated(name, [sys.executable, "-c", code], ROOT, options.repeats)
    record(options.record, seconds=seconds, medians={name: median(values) for name, values in seconds.items()})


if __name__ == "__main__":
    main()
