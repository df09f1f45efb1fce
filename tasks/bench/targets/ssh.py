"""Another machine, reached by ssh: any runtime that measures this one, measured there.

Nothing needs to be installed there but Python 3.11: what the runtime lacks in the versions of requirements.lock is
sent, and gone after each pair.
"""

import re

from tasks.bench import agreement, timed, wheels
from tasks.bench.ssh import Remote, unknown
from tasks.bench.targets import SETUPS, Request, Result
from tasks.devices import PACKAGES, Device, Ssh
from tasks.errors import DeviceError, UnsupportedError
from tasks.registry import resolve

READERS = ("onnxruntime", "openvino")  # which take the artifact for what they make of it
UNPACKED = 4  # bytes of packages for each of their archive: what must be free


def measure(request: Request) -> Result:
    """Measure one pair in one session, and answer the splits with the kernels there.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference, or the device has too few processors.
        DeviceError: the device cannot be reached or fails; nothing is left on it.
    """
    device = request.device
    assert isinstance(device, Ssh)
    with session_on(device) as session:
        if device.threads > session.host.cpus:
            raise UnsupportedError(
                f"{device.threads} threads need as many CPUs; {device.name} lets a process use {session.host.cpus}"
            )
        equip(session, device)
        setup = resolve(SETUPS, device.runtime, "runtime")(device, session)
        if device.runtime in READERS:
            agreement.check(request, setup)
        return timed.judge(request, setup)


def usable(device: Device) -> str | None:
    """Why the device cannot be used from here and what to do about it; null where ssh knows it. Connects to nothing."""
    return unknown(device.name)


def probe(device: Ssh) -> str:
    """Connect, and say in one line what is there.

    Raises:
        DeviceError: the device cannot be reached or lacks what it needs; one line says which.
    """
    with session_on(device) as session:
        host = session.host
    package = PACKAGES[device.runtime]
    words = [
        f"{host.system} {host.machine}" + (" (emulated)" if host.emulated else ""),
        f"{host.cpus} CPUs",
        f"Python {host.python}",
        host.libc,
        f"{package} {host.installed[package] or 'will be sent'}",
        f"numpy {host.installed['numpy'] or 'will be sent'}",
        f"{host.free_bytes / 2**30:.1f} GiB free",
        f"load {host.load1:.2f}",
    ]
    return ", ".join(word for word in words if word)


def session_on(device: Ssh) -> Remote:
    """A session on the device, to be entered."""
    return Remote(device.name, device.python, ("numpy", PACKAGES[device.runtime]))


def equip(session: Remote, device: Ssh) -> None:
    """Send the runtime and its needs, unless the device has it and numpy in the locked versions.

    Raises:
        DeviceError: they cannot be had for its platform, or do not fit on its disk.
        DataError: the lock is missing.
    """
    host, package = session.host, PACKAGES[device.runtime]
    glibc = re.fullmatch(r"glibc (\d+\.\d+)", host.libc)
    platform = wheels.Platform(host.machine, host.python, glibc[1] if glibc else "")
    pins = wheels.pins(package, platform)
    wanted = {name: pins[name].version for name in ("numpy", package)}
    if all(host.installed[name] == version for name, version in wanted.items()):
        return
    listed = ", ".join(f"{name} {version}" for name, version in wanted.items())
    if device.platform != "cpu":
        raise DeviceError(f"{device.name}: for {device.platform}, {listed} and its plugin must be installed there")
    if not platform.glibc:
        there = f"{host.system} {host.libc or 'without glibc'}"
        raise DeviceError(
            f"{device.name}: packages can be sent to Linux with glibc alone, and {there} is there;"
            f" install {listed} there"
        )
    archive = wheels.archive(pins, platform)
    needed = archive.stat().st_size * UNPACKED
    if needed > host.free_bytes:
        free, mib = host.free_bytes / 2**20, needed / 2**20
        raise DeviceError(
            f"{device.name}: the disk is full there: {free:.0f} MiB free, and {mib:.0f} MiB needed to send {package};"
            f" free some, or install {listed} there"
        )
    session.unpack(archive)
