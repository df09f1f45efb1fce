"""A device behind an sshd on this machine."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

ARM64 = Path(__file__).resolve().parents[1] / "infra" / "arm64"


def arm64(config: pytest.Config) -> tuple[str, ...]:
    """The setting of sshd by which its sessions are of an Arm processor; its Python has no packages."""
    if not shutil.which("qemu-aarch64"):
        pytest.skip("no qemu-aarch64: `apt-get install qemu-user`")
    given = os.environ.get("TERCET_ARM64_ROOTFS")
    root = Path(given) if given else _kept(config) / "rootfs"
    if not root.is_dir():
        done = subprocess.run([ARM64 / "rootfs", root], capture_output=True, text=True, timeout=1800, check=False)
        if done.returncode:
            pytest.skip(f"no arm64 root file system: {done.stderr.strip()}")
    return (f'ForceCommand exec {ARM64}/shell {root} "$TMPDIR"',)


def _kept(config: pytest.Config) -> Path:
    """Where what takes long to make stays from one run of the tests to the next."""
    assert config.cache
    return config.cache.mkdir("arm64")


class Board:
    """A device named `board` behind an sshd on this machine, which is the device itself."""

    SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")

    def __init__(self, folder: Path) -> None:
        self.folder, self.tmp = folder, folder / "board's tmp"  # where its sessions live; the name needs quotes
        self.tmp.mkdir(parents=True)
        self.locks = folder / "locks"
        self.locks.mkdir()
        for key in ("host", "user"):
            self.make_key(key)
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}")
        self.config = folder / "config"
        self.config.write_text(
            f"Host board\n HostName 127.0.0.1\n Port {self.port}\n User {getpass.getuser()}\n IdentitiesOnly yes\n"
            f" IdentityFile {folder}/user\n UserKnownHostsFile {folder}/known_hosts\n GlobalKnownHostsFile /dev/null\n"
        )
        self._sshd: subprocess.Popen[bytes] | None = None

    def make_key(self, name: str) -> None:
        """A new key pair, in place of the old one."""
        for old in self.folder.glob(f"{name}*"):
            old.unlink()
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / name)]
        subprocess.run(command, check=True, timeout=20)

    def start(self, *settings: str, within: Sequence[str] = ()) -> None:
        """Listen; with more lines of sshd_config, or within another command."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd insists
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            f"PidFile {self.folder}/pid",
            # this user's start-up files take their time, and this machine's locks are other tests'
            f'SetEnv "TMPDIR={self.tmp}" "HOME={self.folder}" "TERCET_LOCKS={self.locks}"',
            "KexAlgorithms curve25519-sha256",  # the usual one is safer and takes half a second more
            *("StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin prohibit-password"),
            *settings,
        ]
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n")
        assert self.SSHD
        command = [*within, self.SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "log").open("ab") as log:
            self._sshd = subprocess.Popen(command, stderr=log, start_new_session=True)
        assert self.eventually(self._listens), (self.folder / "log").read_text()

    def stop(self) -> None:
        """Listen no more; connections that are open go on."""
        if self._sshd:
            self._sshd.terminate()
            self._sshd.wait(10)
            self._sshd = None
            assert self.eventually(lambda: not self._listens())  # a child of it may hold the socket for a moment

    def eventually(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """What the condition gives as soon as it is true."""
        end = time.monotonic() + seconds
        while not (found := condition()) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def processes(self, word: str = "") -> list[int]:
        """Of the sessions there, the processes whose command line or loaded files hold a word."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.fsencode(f"\0TMPDIR={self.tmp}") in b"\0" + (folder / "environ").read_bytes():
                    text = (folder / "cmdline").read_text() + (folder / "maps").read_text()
                    found += [int(folder.name)] if word in text else []
            except OSError:
                continue  # it has just ended, or is another user's
        return found

    def clean(self) -> bool:
        """Whether nothing is left there: no file and no process."""
        return not any(self.tmp.iterdir()) and not self.processes()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
