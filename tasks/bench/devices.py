"""The catalog of devices: `<name>.yaml`, one device per file, no address and no secret in any.

They lie in `infra/devices`, which comes with Tercet, and in a project's own `devices` or `infra/devices`.
"""

from collections.abc import Iterable
from pathlib import Path
from platform import python_version_tuple
from typing import Any

from tasks import paths
from tasks.bench.device import Device, Processor
from tasks.bench.kinds import KINDS
from tasks.bench.runner import machine
from tasks.errors import ParamsError, suggest
from tasks.params.reading import read_yaml
from tasks.params.section import check
from tasks.published import table


def names() -> list[str]:
    """Every device of the catalog."""
    return sorted(_files())


def _files() -> dict[str, Path]:
    return paths.listed(paths.DEVICES, paths.OWN_DEVICES)


def load(name: str, where: str = "device") -> Device:
    """One device.

    Args:
        name: of its file.
        where: the name stands, for the error.

    Raises:
        ParamsError: there is no such device, or its file is wrong; one line says where and what is allowed.
    """
    found = _files()
    if name not in found:
        raise ParamsError(f"{where}: received {name!r}; {suggest(name, sorted(found))}")
    return parse(found[name])


def estimates_first(names: Iterable[str]) -> list[str]:
    """Devices, each once: measurements here last, as they are dearer and start when nothing else runs."""
    return sorted(dict.fromkeys(names), key=here)


def here(name: str) -> bool:
    """Whether a device is this machine, which must be quiet while it is measured.

    Raises:
        ParamsError: as `load`.
    """
    return KINDS.load(load(name).kind).here


def parse(path: Path) -> Device:
    """Read and check one device file."""
    value = read_yaml(path)
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ParamsError(f"{path}: kind: received {kind!r}; {suggest(str(kind), KINDS)}")
    return check(KINDS.load(kind).schema, {**value, "name": path.stem}, path)


def fingerprint(device: Device) -> dict[str, Any]:
    """What the device's figures hang from: where it changes, they are old.

    What its file says, but for the words that are for people, and the version of what runs or computes its figures. For
    a processor here also the machine, and the versions of Python and numpy. Why it cannot be used, so that it is
    measured once it can.
    """
    kind = KINDS.load(device.kind)
    found: dict[str, Any] = {"missing": usable(device)} | (
        {kind.package: installed(kind.package)} if kind.package else {}
    )
    words = {"name", "description"} | ({"granularity"} if device.granularity is None else set())
    if device.board:
        found |= {"published": table.digest(table.of_board(device.board))}
    else:
        words |= {"board"}
    found |= {**kind.fingerprint(device), "device": device.model_dump(mode="json", exclude=words)}
    if not kind.here:
        return found
    python = ".".join(python_version_tuple()[:2])
    return {**machine.processor(), "python": python, "numpy": installed("numpy"), **found}


def usable(device: Device) -> str | None:
    """Why the device cannot be used here and what to do about it; null where it can."""
    kind = KINDS.load(device.kind)
    if kind.package and installed(kind.package) is None:
        return f"{kind.package} is not installed: `pip install {kind.package}`"
    if isinstance(device, Processor) and device.meter:
        from tasks.bench import meter_csv  # it reads numbers, by numpy

        if lacks := meter_csv.usable():
            return lacks
    return kind.usable(device)


def installed(package: str) -> str | None:
    """The version of an installed package, without importing it; null where it is not installed."""
    return machine.installed(package)
