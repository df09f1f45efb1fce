"""Who runs a device's bundle: the hosts of its fleet, or a folder of this machine."""

import shlex
import sys
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path

from tasks.bench import devices, openssh
from tasks.errors import ParamsError, WordsError, suggest
from tasks.params import Fleet, Params


@dataclass(frozen=True)
class Target:
    """A folder on a machine, from which a device's bundle is run."""

    device: str
    host: str | None  # of the user's ssh configuration; None: this machine
    folder: str  # from the user's home there, or from here
    python: str
    keep: int
    tolerance: float

    @property
    def name(self) -> str:
        """What it is called."""
        return self.host or self.folder

    @property
    def lock(self) -> str:
        """What a measurement there holds alone."""
        return f"device-{openssh.board(self.host)}" if self.host else "local"

    def command(self, script: str) -> list[str]:
        """The command that has its Python run a script."""
        command = [self.python, "-I", "-c", script]
        return openssh.connect(self.host, f"exec {shlex.join(command)}") if self.host else command

    def refusal(self, said: str) -> str:
        """A line for what was said where nothing has begun."""
        return openssh.refusal(self.host, said) if self.host else f"{self.name}: {openssh.last_words(said.encode())}"


def of(params: Params, device: str) -> list[Target]:
    """The targets of a device, the canary first.

    Raises:
        WordsError: there is no such device.
        ParamsError: nothing says where its bundle goes, or another device's goes there.
    """
    if device not in params.benchmark.devices:
        raise WordsError(f"no device {device!r} is measured here; {suggest(device, params.benchmark.devices)}")
    hosts, folder = _place(params, device)
    if folder is None:
        raise ParamsError(
            f"{device}: nothing says where its bundle goes: name hosts or a folder in params.yaml, such as "
            f"`ship: {{{device}: {{hosts: [pi-1, pi-2]}}}}` or `ship: {{{device}: {{folder: /srv/{params.name}}}}}`"
        )
    for other in params.ship.keys() - {device}:
        others, its_folder = _place(params, other)
        if its_folder is not None and normpath(its_folder) == normpath(folder) and {*hosts} & {*others}:
            raise ParamsError(f"{device}: {folder} is {other}'s as well; name another folder in params.yaml")
    fleet, described = params.ship.get(device, Fleet()), devices.load(device)
    python = fleet.python or (str(getattr(described, "python", "python3")) if hosts[0] else sys.executable)
    return [Target(device, host, folder, python, fleet.keep, fleet.tolerance) for host in hosts]


def _place(params: Params, device: str) -> tuple[tuple[str | None, ...], str | None]:
    """The hosts that run a device's bundle, null for this machine, and the folder there; null: nobody has told any."""
    fleet = params.ship.get(device, Fleet())
    hosts = tuple(dict.fromkeys(fleet.hosts)) or ((device,) if devices.load(device).kind == "ssh" else ())
    if hosts:
        return hosts, fleet.folder or f"tercet/{params.name}-{device}"
    return (None,), fleet.folder and str(Path(fleet.folder).expanduser().absolute())
