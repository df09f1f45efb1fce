"""A 64-bit Arm processor in QEMU's user mode: what it takes, what is missing, and how the runner is started in it.

The runner is the host's file and sees the host's files, but its interpreter and libraries are those of an arm64 root
file system (`infra/arm64/rootfs`). XNNPACK chooses its kernels by /proc/cpuinfo and /sys/devices/system/cpu, and with
the host's it crashes or falls back without a word: so a namespace of its own hides both behind a description of the
processor, which belongs to the device as much as QEMU's version does.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from statistics import mean, median
from typing import Any

from tasks import paths
from tasks.bench.answers import Answer
from tasks.bench.transport import RUNNER, START, converse
from tasks.errors import DeviceError
from tasks.files import once, sha256
from tasks.process import Told, told
from tasks.scratch import scratch

RESOURCES = ("infra/arm64/count.c",)
ROOTFS = "TERCET_ARM64_ROOTFS"  # where it lies, if not in .tercet
MANIFEST = "opt/manifest"  # of its packages: the last that is written
QEMU = "qemu-aarch64"
EMPTY, INFERENCE = 0, 1  # what stands between a pair of marks, as the runner makes them
SBIN = "/usr/sbin"  # where debootstrap lies, off the path of most users
ANSWERS_S = 10.0  # a question to a program
COMPILES_S = 60.0
COMPILE = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"]
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
HIDE = """
set -e
mount -t tmpfs none /sys
mkdir -p /sys/devices/system/cpu/cpu0
echo 0 >/sys/devices/system/cpu/possible
echo 0 >/sys/devices/system/cpu/present
mount --bind "$1" /proc/cpuinfo
shift
exec "$@"
"""
NAMESPACES = (
    "user namespaces are refused here ({}): allow them with `sysctl -w kernel.unprivileged_userns_clone=1"
    " kernel.apparmor_restrict_unprivileged_userns=0`, in a container with a seccomp profile that has unshare and mount"
)
PLUGINLESS = (
    f"{QEMU} takes no -plugin, as no static one does (Debian 13 has no other): install a dynamic one, such as Debian"
    " 12's qemu-user, or build QEMU with --enable-plugins"
)


@dataclass(frozen=True)
class Counts:
    """Instructions of each counted inference, without the marks' own."""

    inferences: tuple[float, ...]
    dots: tuple[int, ...]  # of them: dot products of bytes, which only kernels for newer cores have
    mark: float  # what a pair of marks takes by itself, taken off already

    @property
    def per_inference(self) -> float:
        """The mean."""
        return mean(self.inferences)

    @property
    def spread(self) -> float:
        """Highest less lowest, over the mean."""
        return (max(self.inferences) - min(self.inferences)) / self.per_inference


@dataclass(frozen=True)
class Emulated:
    """A processor in QEMU; each process is a machine of its own. `count` gets the plugin's `marks` into its answer."""

    cpu: str

    def run(
        self, request: dict[str, Any], files: Mapping[str, Path], results: Mapping[str, Path], *, timeout_s: float
    ) -> Answer:
        """Have a fresh process answer; see `transport.Session`."""
        full = request | {key: str(path) for key, path in {**files, **results}.items()}
        what = f"{request['action']} of {files['model']} on an emulated {self.cpu}"
        if request["action"] != "count":
            return converse(_command(self.cpu, []), full, what, timeout_s=timeout_s)
        with scratch("arm64") as folder:
            marks = Path(folder, "marks")
            option = f"{plugin()},out={marks}"
            response = converse(_command(self.cpu, ["-plugin", option]), full, what, timeout_s=timeout_s)
            return replace(response, marks=marks.read_text(encoding="ascii"))


def _command(cpu: str, options: list[str]) -> list[str]:
    """What ends in the runner; nothing of the caller's environment gets in."""
    root = rootfs()
    guest = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONHOME": f"{root}/usr",
        "PYTHONPATH": f"{root}/opt/py",
        "PYTHONHASHSEED": "0",  # the order of sets is the same in every process, and so is the count
    }
    qemu = [QEMU, "-cpu", cpu, *options, "-L", str(root), f"{root}/usr/bin/python3", "-s", "-P", "-c", START]
    hidden = ["sh", "-c", HIDE, "sh", str(description(cpu)), *qemu, str(RUNNER.parent)]
    return ["env", "-i", *(f"{key}={value}" for key, value in guest.items()), *UNSHARE, *hidden]


def counts(marks: str) -> Counts:
    """What the plugin wrote, mark by mark: `what instructions dots`, the last two as running totals.

    Raises:
        DeviceError: the marks are not those of whole pairs of both kinds.
    """
    lines = [[int(number) for number in line.split()] for line in marks.splitlines()]
    pairs = list(zip(lines[::2], lines[1::2], strict=False))
    if len(lines) % 2 or any(len(a) != 3 or len(b) != 3 or a[0] != b[0] for a, b in pairs):
        raise DeviceError(f"the counting plugin wrote {len(lines)} marks that do not pair: {marks[:60]!r}")
    between = {kind: [(b[1] - a[1], b[2] - a[2]) for a, b in pairs if a[0] == kind] for kind in (EMPTY, INFERENCE)}
    if not all(between.values()):
        raise DeviceError(f"the counting plugin saw {len(lines)} marks and no inference: the guest makes none of them")
    own = median(instructions for instructions, _ in between[EMPTY])
    return Counts(
        tuple(instructions - own for instructions, _ in between[INFERENCE]),
        tuple(dots for _, dots in between[INFERENCE]),
        own,
    )


def rootfs() -> Path:
    """Where the arm64 root file system lies or should lie; absolute."""
    return Path(os.environ.get(ROOTFS) or paths.STATE / "arm64" / "rootfs").absolute()


def description(cpu: str) -> Path:
    """The /proc/cpuinfo of a processor."""
    return _part(f"cpuinfo-{cpu}")


def source() -> Path:
    """The C file of the counting plugin."""
    return _part("count.c")


def _part(name: str) -> Path:
    return paths.own_or_packaged(paths.ARM64 / name)


def plugin() -> Path:
    """The counting plugin, compiled on the first use of its source.

    Raises:
        DeviceError: gcc failed.
    """
    return once(_compiled(), _compile)


def _compile(path: Path) -> None:
    command = [*COMPILE, "-o", str(path), str(source())]
    done = told(command, timeout_s=COMPILES_S, what="compiling the counting plugin")
    if done.code:
        raise DeviceError(f"the counting plugin does not compile: {done.err.strip()}")


def _compiled() -> Path:
    return paths.STATE / "arm64" / f"count-{sha256(source())[:12]}.so"


def version() -> str | None:
    """QEMU's own line about itself; null where it is not installed, or does not say."""
    if not which(QEMU):
        return None
    try:
        return _asked([QEMU, "--version"]).out.partition("\n")[0] or None
    except DeviceError:  # why is in `missing`
        return None


def fingerprint(cpu: str) -> dict[str, str | None]:
    """What the counts and the answers hang from beside the artifact; null for what is not there."""
    parts = {"plugin": source(), "cpuinfo": description(cpu), "rootfs": rootfs() / MANIFEST}
    return {"qemu": version(), **{name: sha256(path) if path.is_file() else None for name, path in parts.items()}}


def missing() -> list[str]:
    """What must be installed, allowed or built before a processor can be emulated here, each with the way to it."""
    root, given = rootfs(), os.environ.get(ROOTFS)
    built = (root / MANIFEST).is_file()
    needs = {QEMU: "qemu-user", "unshare": "util-linux", "mount": "mount"}
    needs |= {} if _compiled().is_file() else {"gcc": "gcc"}
    needs |= {} if built else {"debootstrap": "debootstrap"}
    places = os.environ.get("PATH", os.defpath) + f":{SBIN}"
    lacking = [package for program, package in needs.items() if not which(program, path=places)]
    found = [f"not installed: {', '.join(lacking)}: `apt-get install {' '.join(lacking)}`"] if lacking else []
    found += _unfit()
    if given and not Path(given).is_absolute():
        found.append(f"{ROOTFS}: an absolute path is expected; received {given!r}")
    elif not built:
        where = given or paths.STATE / "arm64" / "rootfs"
        found.append(f"no arm64 root file system: build it with `{_part('rootfs')} {where}`")
    return found


def _unfit() -> list[str]:
    """Why the programs that are installed do not do; likewise where one does not answer."""
    found = []
    try:
        if which(QEMU) and "-plugin" not in _asked([QEMU, "--help"]).out:
            found.append(PLUGINLESS)
        if which("unshare") and which("mount"):
            hiding = _asked([*UNSHARE, "mount", "-t", "tmpfs", "none", "/sys"])
            found += [NAMESPACES.format(hiding.last_words)] if hiding.code else []
    except DeviceError as error:
        found.append(str(error))
    return found


def _asked(command: list[str]) -> Told:
    return told(command, timeout_s=ANSWERS_S, what=" ".join(command[:2]))
