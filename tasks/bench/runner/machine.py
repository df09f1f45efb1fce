"""What a figure hangs from: the machine, its processor, its load and its limits; null where it does not say."""

import os
import platform
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .pages import huge

FEATURES = (  # what the kernels of a runtime choose by
    *("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimddp", "asimdhp", "fphp", "i8mm", "bf16", "sve", "sve2", "neon"),
)
X86 = ("x86_64", "AMD64", "i386", "i486", "i586", "i686")


def environment(package: str) -> dict[str, Any]:
    """Everything beside the artifact that a figure hangs from.

    Args:
        package: the runtime's, whose version is recorded.
    """
    load = os.getloadavg() if hasattr(os, "getloadavg") else (None,)
    return {
        **processor(),
        "emulated": emulated(),
        "python": platform.python_version(),
        "numpy": installed("numpy"),
        "runtime": f"{package} {installed(package)}",
        "governor": text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "mhz": clock_mhz(),
        "load1": load[0],
        "temperature_c": temperature_c(),
        "cpus_allowed": cpus_allowed(),
        "cpu_limit": cpu_limit(),
        "container": container(),
        "huge_pages": huge(),
    }


def state() -> dict[str, float | None]:
    """What throttling shows in: the clock and the temperature now."""
    return {"mhz": clock_mhz(), "temperature_c": temperature_c()}


def used() -> dict[str, Any]:
    """What this process has used so far: CPU time of all threads, and how often a processor was taken away from it."""
    try:
        import resource
    except ModuleNotFoundError:  # not on Unix
        preempted = None
    else:
        preempted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    return {"cpu_s": time.process_time_ns() / 1e9, "preempted": preempted}


def installed(package: str) -> str | None:
    """The version of a package, without importing it; null where it is not installed."""
    with suppress(PackageNotFoundError):
        return version(package)
    return None


def processor() -> dict[str, Any]:
    """The machine, its processor's name, those of its features that kernels are chosen by, and the number of CPUs."""
    lines = (line.partition(":") for line in text("/proc/cpuinfo").splitlines())
    fields = {key.strip().lower(): value.strip() for key, _, value in lines}
    part = " ".join(fields[key] for key in ("cpu implementer", "cpu part") if key in fields)  # Arm has no name here
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    return {
        "machine": platform.machine(),
        "cpu": fields.get("model name") or part or platform.processor() or None,
        "features": [feature for feature in FEATURES if feature in flags],
        "cpus": os.cpu_count(),
    }


def emulated() -> bool:
    """Whether an emulator runs this process on another architecture's processor, so that no time of it means anything.

    QEMU's user mode answers for the machine alone: of the kernel and its processor, it shows the real ones. An Arm
    kernel with 32-bit programs is no emulator, so only x86 and all others are told apart.
    """
    kernel = text("/proc/sys/kernel/arch")  # since Linux 6.1
    if not kernel:
        kernel = "x86_64" if "\nvendor_id" in text("/proc/cpuinfo") else platform.machine()
    return (kernel in X86) != (platform.machine() in X86)


def clock_mhz() -> float | None:
    """The first CPU's clock now."""
    khz = text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    return int(khz) / 1000 if khz.isdigit() else None


def temperature_c() -> float | None:
    """The hottest of the kernel's thermal zones."""
    temperatures = [text(zone / "temp") for zone in Path("/sys/class/thermal").glob("thermal_zone*")]
    return max((int(t) / 1000 for t in temperatures if t.lstrip("-").isdigit()), default=None)


def cpus_allowed() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_limit() -> float | None:
    """CPUs that the control group grants (v2, then v1); null for no limit."""
    quota, _, period = text("/sys/fs/cgroup/cpu.max").partition(" ")
    if not quota:
        quota, period = (text(f"/sys/fs/cgroup/cpu/cpu.cfs_{field}_us") for field in ("quota", "period"))
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def container() -> str | None:
    """What seems to contain this process; null where nothing shows."""
    marks = {"/.dockerenv": "docker", "/run/.containerenv": "podman"}
    found = [name for mark, name in marks.items() if Path(mark).exists()]
    return found[0] if found else "kubernetes" if "KUBERNETES_SERVICE_HOST" in os.environ else None


def memory_kib(*, reset: bool = False) -> int | None:
    """The most memory that was resident in this process, since its start or since the last reset; null off Linux."""
    if reset:
        with suppress(OSError):  # the level before is then the peak so far, so the model's growth reads too low
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    lines = [line for line in text("/proc/self/status").splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) if lines else None


def text(path: str | Path) -> str:
    """The text of a small system file; empty where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
