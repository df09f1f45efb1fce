"""A runtime for another platform: the packages of requirements.lock, with its versions and hashes, as one archive.

Which packages a runtime needs, its metadata here says, with the markers of the other platform; which version and which
hashes of each, the lock. They are fetched once by pip, from where this machine's pip takes its packages, and kept under
`.tercet/wheels/<platform>/`.
"""

import re
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tasks import paths
from tasks.bench.locks import hold
from tasks.errors import DataError, DeviceError
from tasks.files import replaced
from tasks.process import told
from tasks.scratch import scratch

FETCH_S = 1800
OLDEST = {"x86_64": 5, "i686": 5}  # glibc's minor version that the first manylinux of a machine is for; the rest: 17
LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


@dataclass(frozen=True)
class Platform:
    """Where packages shall run: CPython on Linux with glibc."""

    machine: str  # "aarch64"
    python: str  # "3.11.2"
    glibc: str  # "2.36"; empty where there is none, and nothing can be fetched

    @property
    def name(self) -> str:
        """What decides which wheels fit."""
        return f"{self.machine}-glibc{self.glibc}-cp{self.version.replace('.', '')}"

    @property
    def version(self) -> str:
        """Python's, without its patch level."""
        return ".".join(self.python.split(".")[:2])

    @property
    def tags(self) -> list[str]:
        """Every platform tag of wheels that run there, the newest first."""
        newest = int(self.glibc.split(".")[1])
        found = []
        for minor in range(newest, OLDEST.get(self.machine, 17) - 1, -1):
            found.append(f"manylinux_2_{minor}_{self.machine}")
            if minor in LEGACY:
                found.append(f"{LEGACY[minor]}_{self.machine}")
        return found

    @property
    def markers(self) -> dict[str, str]:
        """Its environment markers."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self.python,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self.python,
            "python_version": self.version,
            "sys_platform": "linux",
            "extra": "",
        }


@dataclass(frozen=True)
class Pin:
    """One package of the lock."""

    version: str
    line: str  # name, version and hashes, as pip reads them


def pins(packages: Iterable[str], platform: Platform, pinned: Path | None = None) -> dict[str, Pin]:
    """Some packages and all that they need there, by canonical name.

    Args:
        packages: their names.
        platform: where they shall run.
        pinned: has, as a lock does, those that Tercet's own lock has not.

    Raises:
        DataError: the lock lacks one of them.
        DeviceError: one of them is not installed here, so its needs are unknown.
    """
    locked = (_locked(pinned, platform) if pinned else {}) | _locked(paths.packaged(paths.LOCK), platform)
    found: dict[str, Pin] = {}
    waiting: list[str] = list(map(canonicalize_name, packages))
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in locked:
            where = f"{paths.LOCK} and {pinned}" if pinned else str(paths.LOCK)
            raise DataError(
                f"{where}: no version of {name} for Python {platform.version}; run `make lock`; what a plug-in's kind"
                " needs stands in the file that it names as `pinned`"
            )
        found[name] = locked[name]
        waiting += _needs(name, platform)
    return dict(sorted(found.items()))


def archive(packages: Mapping[str, Pin], platform: Platform) -> Path:
    """The packages, unpacked, as one `.tar.gz`; fetched if they are not here yet.

    Raises:
        DeviceError: pip cannot get one of them for the platform.
    """
    text = "".join(f"{pin.line}\n" for pin in packages.values())
    path = paths.STATE / "wheels" / platform.name / f"{sha256(text.encode()).hexdigest()[:16]}.tar.gz"
    with hold("wheels", exclusive=True):
        if not path.is_file():
            _fetch(text, platform, path)
    return path


def _locked(lock: Path, platform: Platform) -> dict[str, Pin]:
    """What a lock holds for a platform: Tercet's is the packaged one, as a project's own is of something else."""
    text = lock.read_text(encoding="utf-8")
    found: dict[str, Pin] = {}
    for entry in re.findall(r"^\w.*", text.replace("\\\n", " "), re.MULTILINE):
        words = entry.split()
        requirement = Requirement(" ".join(word for word in words if not word.startswith("--hash=")))
        if requirement.marker and not requirement.marker.evaluate(platform.markers):
            continue
        name, version = canonicalize_name(requirement.name), next(iter(requirement.specifier)).version
        hashes = [word for word in words if word.startswith("--hash=")]
        found[name] = Pin(version, " ".join([f"{name}=={version}", *hashes]))
    return found


def _needs(name: str, platform: Platform) -> list[str]:
    """What a package asks for there; a backport that is for an older Python alone is not asked for."""
    try:
        needs = [Requirement(need) for need in requires(name) or ()]
        there = [need.name for need in needs if need.marker is None or need.marker.evaluate(platform.markers)]
        return [canonicalize_name(need) for need in there if platform.python in _pythons(need)]
    except PackageNotFoundError as error:
        raise DeviceError(f"{error.name}: not installed here, so what it needs elsewhere is not known") from None


def _pythons(name: str) -> SpecifierSet:
    return SpecifierSet(",".join(metadata(name).get_all("Requires-Python") or ()))


def _fetch(requirements: str, platform: Platform, path: Path) -> None:
    with scratch("wheels") as folder:
        listed, site = Path(folder, "requirements.txt"), Path(folder, "site")
        listed.write_text(requirements, encoding="utf-8")
        command = [sys.executable, "-P", "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
        command += [
            "--no-deps",
            "--only-binary=:all:",
            "--no-compile",
            "--require-hashes",
            "--requirement",
            str(listed),
        ]
        command += ["--target", str(site), "--implementation", "cp", "--python-version", platform.version]
        command += [word for tag in platform.tags for word in ("--platform", tag)]
        done = told(command, timeout_s=FETCH_S, what=f"packages for {platform.name}: pip")
        if done.code:
            said = [line for line in done.err.splitlines() if line.startswith("ERROR: ")] or [done.last_words]
            raise DeviceError(f"packages for {platform.name}: pip failed: {said[-1].removeprefix('ERROR: ')}")
        with replaced(path) as temporary, tarfile.open(temporary, "w:gz", compresslevel=1) as made:
            made.add(site, ".")
