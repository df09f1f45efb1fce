"""`tercet doctor`: what this machine can do, and the exact mend for what it cannot."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from flows import given
from tasks import params, paths, redact
from tasks.bench import devices, meter_csv
from tasks.bench.kinds import KINDS, Kind
from tasks.bench.runner import counters, machine
from tasks.errors import TercetError
from tasks.track import server

Finding = tuple[bool, str, str]  # all is well, what was looked at, what was found and what to do
NEEDED = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "ai-edge-litert", "ethos-u-vela", "prefect", "dvc")
NO_COUNTER = {  # by source of energy: what to do where there is none
    "powercap": "virtual machines and most Arm boards have none; energy is then an estimate with bounds, and says so",
    "nvml": "without an NVIDIA GPU and its driver there is nothing to do",
    "hwmon": "only boards with such a sensor have one (Jetson, or an INA2xx that you wire up); else nothing to do",
}
NO_PERMISSION = {  # where there is one that this user may not read: what to do at once, and for every start
    "powercap": "let every user read it, which on a shared machine tells others what runs (CVE-2020-8694):"
    " `sudo chmod -R a+r /sys/class/powercap/intel-rapl:*`; for every start, a line in /etc/udev/rules.d/70-rapl.rules:"
    ' SUBSYSTEM=="powercap", ACTION=="add", RUN+="/bin/chmod a+r /sys%p/energy_uj"',
    "nvml": "let this user open the GPU: `ls -l /dev/nvidia*` shows its group; `sudo usermod -aG GROUP $USER`",
    "hwmon": "`sudo chmod a+r /sys/class/hwmon/hwmon*/*_input`, at each start",
}
FREE_GIB = 5


def doctor(*, as_json: bool = False) -> int:
    """Print one line per finding, what is absent last; 1 if something that every run needs is missing, else 0."""
    told = [("ok" if well else "MISSING", what, found) for well, what, found in _needed()]
    rest = [each for look in (_given, _runtimes, _energy, _programs, _services, _devices) for each in look()]
    rest.sort(key=lambda each: not each[0])
    told += [("ok" if well else "absent", what, found) for well, what, found in rest]
    if as_json:
        lines = [{"status": status.lower(), "what": what, "found": found} for status, what, found in told]
        print(json.dumps(lines, indent=2, ensure_ascii=False))
    else:
        print("\n".join(f"{status:<7}  {what}: {found}" for status, what, found in told))
    return 1 if "MISSING" in [status for status, *_ in told] else 0


def _needed() -> Iterator[Finding]:
    for package in (*NEEDED, "mlflow"):
        version = devices.installed(package)
        yield version is not None, package, version or "not installed, though Tercet needs it: install Tercet anew"
    git = shutil.which("git")
    yield git is not None, "git", git or "not found; DVC keeps versions by it: install git"
    here = Path(".dvc").is_dir()
    yield here, "project", str(Path.cwd()) if here else "run this in a project; `tercet init DIR` makes one"
    free_gib = shutil.disk_usage(".").free / 2**30
    yield free_gib >= FREE_GIB, "disk", f"{free_gib:.0f} GiB free (a run wants {FREE_GIB})"


def _given() -> Iterator[Finding]:
    """The data and the models that params.yaml names, if it is there and right."""
    if not paths.PARAMS.is_file():
        return
    try:
        settings = params.load()
        given.check(settings)
    except TercetError as error:
        yield False, "data and models", str(error)
    else:
        yield True, "data and models", f"what {paths.PARAMS} names is there"


def _runtimes() -> Iterator[Finding]:
    yield True, "processors", f"{machine.cpus_allowed()} usable; measure with nothing else running"
    for name, kind in _kinds():
        if isinstance(kind, str):
            yield False, f"kind {name}", kind
        elif kind.package:
            version = devices.installed(kind.package)
            yield version is not None, f"runtime of kind {name}", f"{kind.package} {version or _install(kind.package)}"


def _kinds() -> Iterator[tuple[str, Kind | str]]:
    """Every kind of device; of a plug-in that cannot be used, why."""
    for name in KINDS:
        try:
            yield name, KINDS.load(name)
        except TercetError as error:
            yield name, str(error)


def _install(package: str) -> str:
    return f"is not installed: `pip install {package}`, at the version of requirements.lock"


def _energy() -> Iterator[Finding]:
    for source in NO_COUNTER:
        if source in counters.SOURCES:
            about = counters.SOURCES[source]().about
            zones = ", ".join(zone["name"] for zone in about["zones"])
            yield bool(zones), f"energy by {source}", zones or _mend(source, str(about["reason"]))
    reason = meter_csv.usable()
    yield reason is None, "energy by an external meter", reason or f"{os.environ[meter_csv.VARIABLE]} can be read"


def _mend(source: str, reason: str) -> str:
    return f"{reason}; {(NO_PERMISSION if 'permission' in reason.lower() else NO_COUNTER)[source]}"


def _programs() -> Iterator[Finding]:
    for name, kind in _kinds():
        for program, (package, use) in ({} if isinstance(kind, str) else kind.programs).items():
            wanted = f"kind {name}, {use}" if use else f"kind {name}"
            path = shutil.which(program)
            yield path is not None, program, path or f"not found; {wanted}: `sudo apt-get install {package}`"


def _services() -> Iterator[Finding]:
    yield True, "MLflow", f"records go to {redact.shown(server.uri())}"
    api = os.environ.get("PREFECT_API_URL")
    found = f"runs are reported to {redact.shown(api)}" if api else "no server: each run starts its own for itself"
    yield True, "Prefect", found


def _devices() -> Iterator[Finding]:
    for name in devices.names():
        try:
            reason = devices.usable(devices.load(name))
        except TercetError as error:  # of its file, or of the plug-in that its kind is from
            reason = str(error)
        yield reason is None, f"device {name}", reason or "usable"
