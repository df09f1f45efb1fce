"""OpenSSH's client: its command line, what its words mean, and what it knows of a host. Connects to nothing."""

import os
import re
import shlex
import shutil

from tasks.errors import DeviceError
from tasks.process import told

CONFIG = "TERCET_SSH_CONFIG"  # environment variable: the file to read instead of the user's ssh configuration
SETTINGS_S = 10.0
ALIVE_S = 15  # a silent device is asked so often whether it is there, and given up after three silences
OPTIONS = {
    "BatchMode": "yes",  # never a question
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",
    "ConnectTimeout": "10",
    "ServerAliveCountMax": "3",
    "LogLevel": "ERROR",
    "ControlPersist": "no",
    "RequestTTY": "no",
    "RemoteCommand": "none",
    "PermitLocalCommand": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
}
REFUSALS = {  # what ssh says, and what it means; the first that is found
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "the host key of {name} is not the one in known_hosts. Either the device"
    " was set up anew or this is another machine: compare its fingerprint at the device itself, then remove the old key"
    " (`ssh-keygen -R HOSTNAME`) and connect once by hand",
    "host key is known for": "the host key of {name} is not known yet: connect once by hand (`ssh {name}`) and compare"
    " the fingerprint that it shows with the device's own",
    "Permission denied": "permission denied: {name} takes none of this user's keys; `ssh-copy-id {name}` gives it one,"
    " and a key with a passphrase needs an agent",
    "Could not resolve hostname": "the address of {name} is unknown: see HostName in your ssh configuration",
    "Connection refused": "ssh refused: {name} is there, but no ssh server listens at its port",
    "timed out": "{name} does not answer at its address: is it switched on and connected?",
    "No route to host": "{name} cannot be reached from this network",
    "Network is unreachable": "{name} cannot be reached from this network",
}


def connect(name: str, script: str, *options: str) -> list[str]:
    """The command that runs a line of POSIX shell on a device, whichever shell its user has."""
    settings = OPTIONS | {"ServerAliveInterval": str(ALIVE_S)}
    pairs = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    return [*_ssh(), *options, *pairs, "--", name, f"exec sh -c {shlex.quote(script)}"]


def refusal(name: str, said: str) -> str:
    """One line for what ssh said when it could not connect."""
    meaning = next((meaning for words, meaning in REFUSALS.items() if words in said), None)
    return f"{name}: " + (meaning.format(name=name) if meaning else f"ssh failed: {last_words(said.encode())}")


def unknown(name: str) -> str | None:
    """Why ssh does not know the device, and what to do; null where it is configured. Connects to nothing."""
    if shutil.which("ssh") is None:
        return "ssh is not installed: `apt-get install openssh-client`"
    mine, nobodys = (_settings(alias) for alias in (name, "tercet-knows-no-such-host"))
    if isinstance(mine, str):
        return mine
    if mine == nobodys:
        where = os.environ.get(CONFIG) or "~/.ssh/config"
        return f"no host {name} in your ssh configuration; add one to {where} (Host {name}, HostName ..., User ...)"
    return None


def _settings(alias: str) -> set[str] | str:
    """What ssh would use, with the alias itself made nameless; or why it cannot say."""
    try:
        said = _asked(alias)
    except DeviceError as error:
        return str(error)
    lines = re.sub(rf"(?<![\w.-]){re.escape(alias)}(?![\w.-])", "*", said).splitlines()
    return {line for line in lines if not line.startswith("controlpath ")}  # which may hold the alias as a digest


def board(alias: str) -> str:
    """What the device's lock is called: its address and port, so that two aliases of one board share it.

    Where ssh does not say, the alias itself.
    """
    try:
        pairs = (line.partition(" ") for line in _asked(alias).splitlines())
    except DeviceError:
        return alias
    settings = {key: value for key, _, value in pairs}
    address = f"{settings.get('hostname', alias)}:{settings.get('port', '22')}".lower()
    return re.sub(r"[^\w.:-]", "_", address)


def _asked(alias: str) -> str:
    """What `ssh -G` prints.

    Raises:
        DeviceError: it cannot read its configuration, or not in time.
    """
    done = told([*_ssh(), "-G", "--", alias], timeout_s=SETTINGS_S, what="ssh, reading its configuration,")
    if done.code:
        raise DeviceError(f"ssh: {done.err.partition(chr(10))[0].strip()}")
    return done.out


def _ssh() -> list[str]:
    config = os.environ.get(CONFIG)
    return ["ssh", *(["-F", config] if config else []), "-T", "-e", "none"]


def last_words(said: bytes) -> str:
    """The last words of what was said: the very last of tar, for one, say only that it failed."""
    lines = said.decode(errors="replace").strip().splitlines()
    return "; ".join(line.strip() for line in lines[-2:])[-200:] or "it said nothing"
