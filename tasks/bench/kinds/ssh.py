"""Another machine, reached by ssh: any runtime that measures this one, measured there.

Nothing needs to be installed there but Python 3.11: what the runtime lacks in the versions of requirements.lock is
sent, and gone after each pair.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from packaging.utils import canonicalize_name
from pydantic import AfterValidator

from tasks import files, paths
from tasks.bench import devices, openssh, same_answers, shipping, timed, wheels
from tasks.bench.device import Accelerated, Device
from tasks.bench.kinds import KINDS, Kind
from tasks.bench.request import Artifact, Request, Result
from tasks.bench.setup import Setup, Shipped
from tasks.bench.ssh import Host, Remote
from tasks.errors import DeviceError, UnsupportedError, suggest

FACTS = ("machine", "cpu", "features", "cpus", "python")  # of the runner's environment: what tells machines apart
UNPACKED = 4  # bytes of packages for each of their archive: what must be free


def _asked(name: str) -> str:
    if name not in KINDS or KINDS.load(name).setup is None:
        able = [each for each in KINDS if KINDS.load(each).setup is not None]
        raise ValueError(f"received {name!r}; {suggest(name, able)}")
    return name


Runtime = Annotated[str, AfterValidator(_asked)]


class Ssh(Accelerated):
    """Another machine, reached by ssh under the device's own name, which the user's ssh configuration explains."""

    runtime: Runtime = "litert"  # a kind that says how its runtime is asked
    python: str = "python3"  # the interpreter there, 3.11 or later


def measure(request: Request) -> Result:
    """Measure one pair in one session, and answer the splits with the kernels there.

    Raises:
        UnsupportedError: the runtime refuses the variant or the reference, or computes something else than LiteRT here,
            or the device has too few processors.
        DeviceError: the device cannot be reached or fails; nothing is left on it.
    """
    device = request.device
    assert isinstance(device, Ssh)
    with opens(device) as setup:
        if device.runtime != "litert":  # which is what it is compared with
            same_answers.check(request, setup)
        result = timed.judge(request, setup)
    remember(device, result.measurement.environment)
    return result


@contextmanager
def opens(device: Device) -> Iterator[Setup]:
    """How the runtime there is asked, in one session that has the device alone, from whichever machine others come.

    Raises:
        UnsupportedError: the device has too few processors.
        DeviceError: it cannot be reached, or not be given what it lacks; nothing is left on it.
    """
    assert isinstance(device, Ssh)
    with session_on(device) as session:
        if device.threads > session.host.cpus:
            raise UnsupportedError(
                f"{device.threads} threads need as many CPUs; {device.name} lets a process use {session.host.cpus}"
            )
        equip(session, device)
        if not session.host.emulated:  # which tells no time
            session.hold()
        yield timed.setup_of(device.runtime, device, session)


def remember(device: Ssh, environment: dict[str, Any]) -> None:
    """Note which machine has answered, where it is another one than the last that did."""
    path, facts = paths.host(device.name), {fact: environment.get(fact) for fact in FACTS}
    with files.locked(path):
        known = _answered(path)
        if not known or known[-1] != facts:
            files.write_json(path, [*known, facts])


def fingerprint(device: Device) -> dict[str, Any]:
    """The runtime's version, which is sent as it is locked here, and which machines have answered after the first one.

    Behind the same name another board makes all figures old.
    """
    assert isinstance(device, Ssh)
    others = _answered(paths.host(device.name))[1:]
    return {each: devices.installed(each) for each in packages_of(device)} | ({"answered": others} if others else {})


def _answered(path: Path) -> list[Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # nobody has, or not whole
        return []
    return found if isinstance(found, list) else []


def usable(device: Device) -> str | None:
    """Why the device cannot be used from here and what to do about it; null where ssh knows it. Connects to nothing."""
    return openssh.unknown(device.name)


def probe(device: Device) -> str:
    """Connect, and say in one line what is there.

    Raises:
        DeviceError: the device cannot be reached or lacks what it needs; one line says which.
    """
    assert isinstance(device, Ssh)
    with session_on(device) as session:
        host = session.host
    words = [
        f"{host.system} {host.machine}" + (" (emulated)" if host.emulated else ""),
        f"{host.cpus} CPUs",
        f"Python {host.python}",
        host.libc,
        *(f"{name} {host.installed[name] or 'will be sent'}" for name in (*packages_of(device), "numpy")),
        f"{host.free_bytes / 2**30:.1f} GiB free",
        f"load {host.load1:.2f}",
    ]
    return ", ".join(word for word in words if word)


def session_on(device: Ssh) -> Remote:
    """A session on the device, to be entered."""
    return Remote(device.name, device.python, ("numpy", *packages_of(device)))


def equip(session: Remote, device: Ssh) -> None:
    """Send the runtime and its needs, unless the device has it and numpy in the locked versions.

    Raises:
        DeviceError: they cannot be had for its platform, or do not fit on its disk.
        DataError: the lock is missing.
    """
    names, pinned = ("numpy", *packages_of(device)), KINDS.load(device.runtime).pinned
    archive = lacking(session.host, device.name, names, pinned, device.platform)
    if archive is not None:
        session.unpack(archive)


def lacking(
    host: Host, name: str, packages: Sequence[str], pinned: Path | None = None, processor: str = "cpu"
) -> Path | None:
    """An archive of packages and all that they need, to be sent to a device; None where it has them as they are locked.

    Args:
        host: what the device says of itself.
        name: what it is called.
        packages: their names.
        pinned: has those that Tercet's own lock has not.
        processor: that the runtime hands its work to; plugins for another one than "cpu" are not sent.

    Raises:
        DeviceError: they cannot be had for its platform, or do not fit on its disk.
        DataError: the lock is missing.
    """
    glibc = re.fullmatch(r"glibc (\d+\.\d+)", host.libc)
    platform = wheels.Platform(host.machine, host.python, glibc[1] if glibc else "")
    pins = wheels.pins(packages, platform, pinned)
    wanted = {each: pins[canonicalize_name(each)].version for each in packages}
    if all(host.installed[each] == version for each, version in wanted.items()):
        return None
    listed = ", ".join(f"{each} {version}" for each, version in wanted.items())
    if processor != "cpu":
        raise DeviceError(f"{name}: for {processor}, {listed} and its plugin must be installed there")
    if not platform.glibc:
        there = f"{host.system} {host.libc or 'without glibc'}"
        raise DeviceError(
            f"{name}: packages can be sent to Linux with glibc alone, and {there} is there; install {listed} there"
        )
    archive = wheels.archive(pins, platform)
    needed = archive.stat().st_size * UNPACKED
    if needed > host.free_bytes:
        free, mib = host.free_bytes / 2**20, needed / 2**20
        raise DeviceError(
            f"{name}: the disk is full there: {free:.0f} MiB free, and {mib:.0f} MiB needed to send {packages[-1]};"
            f" free some, or install {listed} there"
        )
    return archive


def packages_of(device: Ssh) -> tuple[str, ...]:
    """The package of the device's runtime; none where that needs no more than numpy."""
    package = KINDS.load(device.runtime).package
    return (package,) if package else ()


def ships(artifact: Artifact, device: Device, folder: Path) -> Shipped:
    """The file that the device's runtime was timed with."""
    assert isinstance(device, Ssh)
    return shipping.processor(artifact, device, folder, device.runtime)


KIND = Kind(
    schema=Ssh,
    programs={"ssh": ("openssh-client", "")},
    usable=usable,
    fingerprint=fingerprint,
    probe=probe,
    measure=measure,
    opens=opens,
    ships=ships,
    board=lambda device: openssh.board(device.name),
    generates=True,  # by LiteRT there, which its `setup` says
    own_kernels=True,
    dense=True,
)
