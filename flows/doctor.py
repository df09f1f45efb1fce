"""`tercet doctor`: what this machine can do, and the exact mend for what it cannot."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tasks import devices, paths, tracking_server
from tasks.bench.runner import counters, machine

Finding = tuple[bool, str, str]  # all is well, what was looked at, what was found and what to do
NEEDED = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert", "ethos-u-vela", "prefect", "dvc")
FREE_GIB = 5


def doctor() -> int:
    """Print one line per finding; the exit code is 1 if something that every run needs is missing."""
    missing = False
    for well, what, found in _needed():
        print(f"{'ok     ' if well else 'MISSING'}  {what}: {found}")
        missing |= not well
    for well, what, found in _optional():
        print(f"{'ok     ' if well else 'absent '}  {what}: {found}")
    return 1 if missing else 0


def _needed() -> Iterator[Finding]:
    for package in (*NEEDED, "mlflow"):
        version = devices.installed(package)
        yield version is not None, package, version or "not installed; `make run` installs requirements.lock"
    git = shutil.which("git")
    yield git is not None, "git", git or "not found; DVC keeps versions by it: install git"
    yield Path(".dvc").is_dir(), "project", str(Path.cwd()) if Path(".dvc").is_dir() else "run this in a Tercet clone"
    free_gib = shutil.disk_usage(".").free / 2**30
    yield free_gib >= FREE_GIB, "disk", f"{free_gib:.0f} GiB free (a run wants {FREE_GIB})"


def _optional() -> Iterator[Finding]:
    energy = counters.Powercap().about
    zones = ", ".join(zone["name"] for zone in energy["zones"])
    yield bool(zones), "energy counter", zones or _energy_mend(energy["reason"])
    yield True, "processors", f"{machine.cpus_allowed()} usable; measure with nothing else running"
    uri = tracking_server.redact(os.environ.get("MLFLOW_TRACKING_URI", tracking_server.DEFAULT_URI))
    yield True, "MLflow", f"records go to {uri}"
    api = os.environ.get("PREFECT_API_URL")
    yield True, "Prefect", f"runs are reported to {api}" if api else "no server: each run starts its own for itself"
    for name in devices.names() if paths.DEVICES.is_dir() else []:
        reason = devices.usable(devices.load(name))
        yield reason is None, f"device {name}", reason or "usable"


def _energy_mend(reason: str) -> str:
    if "cannot be read" in reason:
        mend = "let this user read them: `sudo chmod -R a+r /sys/class/powercap/intel-rapl:*`, at each start"
    else:
        mend = "virtual machines and most Arm boards have none; energy is then an estimate with bounds, and says so"
    return f"{reason}; {mend}"
