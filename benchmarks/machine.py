"""What the scripts beside this one share: where and under what load a figure was measured, and keeping it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tasks.bench.runner.machine import processor

ROOT = Path(__file__).resolve().parent.parent
START_LOAD = os.getloadavg()[0]


def commit(folder: Path = ROOT) -> str:
    """What is checked out in a folder, with `-dirty` where files differ from it."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def environment(project: Path) -> dict[str, str]:
    """A usual user's variables, for a process that is to run the code of `project`.

    Without the settings of Prefect and MLflow, and with Python keeping what it has compiled: where that is turned
    off, the large packages take two to three times as long to import.
    """
    left_out = ("MLFLOW_", "PREFECT_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "PYTHONPATH": str(project)}  # before what is installed


def record(path: Path | None, **figures: Any) -> None:
    """Write the figures as JSON with the machine they are of; print what the load was."""
    loads = {"at_start": START_LOAD, "at_end": os.getloadavg()[0]}
    print(f"load of the machine (1 min): {loads['at_start']:.1f} at the start, {loads['at_end']:.1f} at the end")
    if path is not None:
        value = {"commit": commit(), "machine": processor(), "load_1min": loads, **figures}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
