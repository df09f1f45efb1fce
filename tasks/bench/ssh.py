"""Another machine, reached through the user's own ssh: host keys are checked, and a session leaves nothing there.

A session is one connection. Its first command, the keeper, makes a folder on the device, says where, and waits for the
end of its input. That end comes however the session does (closed, killed, cut off), and the keeper then removes the
folder. Every other step shares the connection: files go by tar, the runner's answer comes on standard output. Beside
each runner waits a leash, likewise: when nobody listens any more, it kills the runner.
"""

import json
import logging
import os
import shlex
import socket
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self

from tasks.bench import lockfile, transport
from tasks.bench.answers import Answer
from tasks.bench.locks import HERE
from tasks.bench.openssh import connect, last_words, refusal
from tasks.errors import DeviceError
from tasks.files import replaced, sha256
from tasks.process import close, kill
from tasks.scratch import scratch

CONNECT_S, PROBE_S, CLOSE_S, TRANSFER_S = 30.0, 60.0, 20.0, 900.0
SOCKETS = "/tmp"  # noqa: S108 - not where TMPDIR says: a socket's path has hardly a hundred characters
LOCK = "lockfile.py"  # in the session's folder
KEEPER = (
    'umask 077; d=$(mktemp -d "${TMPDIR:-/tmp}/tercet-XXXXXXXX") || exit 1;'
    """ trap 'rm -rf "$d" || { sleep 1; rm -rf "$d"; }' EXIT; trap 'exit 1' HUP INT TERM;"""
    ' mkdir "$d/site" && echo "tercet $d" && cat >/dev/null'
)
# the leash lets go of every stream but the caller's, lest the connection wait for it; runtimes litter their TMPDIR
RUN = (
    "cd {folder} && IFS= read -r request || exit 1; exec 3<&0; export TMPDIR={folder} XDG_CACHE_HOME={folder};"
    ' printf %s "$request" | {command} 3<&- & runner=$!;'
    ' {{ cat <&3; kill -9 "$runner"; }} >/dev/null 2>&1 & leash=$!;'
    ' exec 3<&-; wait "$runner"; code=$?; kill "$leash"; exit "$code"'
)
PROBE = """
import sys
if sys.version_info < (3, 11):
    sys.exit("Python %d.%d there; 3.11 or later is needed" % sys.version_info[:2])
sys.path.insert(0, sys.argv[1])
import json, os, platform, shutil
from runner import machine
print(json.dumps({
    "system": platform.system(), "machine": platform.machine(), "python": platform.python_version(),
    "libc": " ".join(platform.libc_ver()), "cpus": machine.cpus_allowed(), "load1": os.getloadavg()[0],
    "free_bytes": shutil.disk_usage(sys.argv[1]).free, "emulated": machine.emulated(),
    "installed": {name: machine.installed(name) for name in sys.argv[2:]},
}))
"""
DISK_FULL = (b"No space left on device", b": Wrote only ")  # the latter is tar's, where a part of a block still fitted
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Host:
    """What a device says of itself."""

    system: str  # "Linux"
    machine: str  # "aarch64"
    python: str  # "3.11.2"
    libc: str  # "glibc 2.36"; empty where it does not say
    cpus: int
    load1: float
    free_bytes: int  # where the session's folder is
    emulated: bool
    installed: dict[str, str | None]  # version by package, null where it is not importable


class Remote:
    """A session on the device that the user's ssh configuration calls `name`: a `transport.Session`, within `with`.

    Args:
        name: the host alias.
        python: the interpreter there.
        packages: whose versions `host.installed` shall tell.

    Raises:
        DeviceError: on every fault of the connection or the device, of which one line says which.
    """

    host: Host

    def __init__(self, name: str, python: str = "python3", packages: Sequence[str] = ()) -> None:
        self.name = name
        self._python, self._packages = python, packages
        self._sent: set[str] = set()
        self._lock: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._local = scratch("ssh", SOCKETS)
        self._socket = self._local.__enter__() / "s"
        self._said = TemporaryFile()
        keeper = connect(self.name, KEEPER, "-M", "-S", str(self._socket))
        self._heard = TemporaryFile()
        self._keeper = subprocess.Popen(
            keeper, stdin=subprocess.PIPE, stdout=self._heard, stderr=self._said, start_new_session=True
        )
        try:
            self._folder = self._greeting()
            self._send({"site/runner": transport.RUNNER})
            self.host = self._probe()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def hold(self) -> None:
        """Have the device alone for the rest of the session, waiting for it: by the lock that measurements there hold.

        Whoever holds it is told. However the session ends, the lock is free then.

        Raises:
            DeviceError: the connection was lost meanwhile, or the lock cannot be had there.
        """
        self._send({LOCK: Path(lockfile.__file__)})
        who = f"{socket.gethostname()}:{Path.cwd()}"
        command = self._command(shlex.join([self._python, "-I", f"{self._folder}/{LOCK}", HERE, who]))
        said = subprocess.PIPE
        self._lock = subprocess.Popen(command, stdin=said, stdout=said, stderr=self._said, start_new_session=True)
        assert self._lock.stdout
        for line in self._lock.stdout:
            words = line.decode(errors="replace").strip()
            if words == lockfile.HELD:
                return
            log.warning("waiting for %s: %s", self.name, words.removeprefix(lockfile.WAITS))
        what = f"{self.name}: taking its lock"
        self._check(what, self._lock.wait(CLOSE_S) or 1, os.pread(self._said.fileno(), 65536, 0))

    def run(
        self, request: dict[str, Any], files: Mapping[str, Path], results: Mapping[str, Path], *, timeout_s: float
    ) -> Answer:
        """Have a fresh process there answer; see `transport.Session`."""
        there = {key: sha256(path)[:16] + path.suffix for key, path in files.items()}
        self._send({there[key]: path for key, path in files.items() if there[key] not in self._sent})
        self._sent.update(there.values())
        written = {key: f"{key}{path.suffix}" for key, path in results.items()}
        what = f"{self.name}: {request['action']} of {files['model']}"
        code, out, err = self._converse(request | there | written, what, timeout_s=timeout_s)
        self._check(what, code if code == 255 else 0, out + err)  # what any step can meet; the rest is the runner's
        response = transport.response(what, 128 - code if code > 128 else code, out, err)  # a shell's word for a signal
        if response.status == "ok":
            for key, path in results.items():
                self._fetch(written[key], path)
        return response

    def unpack(self, archive: Path) -> None:
        """Send a `.tar.gz` of Python packages; the runner imports from it."""
        with archive.open("rb") as file:
            self._do(f"tar xzmf - -C {shlex.quote(self._folder + '/site')}", "sending packages", stdin=file)

    def _greeting(self) -> str:
        """The folder that the keeper has made."""
        end, heard = time.monotonic() + CONNECT_S, b""
        while b"\n" not in heard and self._keeper.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
            heard = os.pread(self._heard.fileno(), 4096, 0)
        line = heard.decode(errors="replace").partition("\n")[0]
        word, _, folder = line.partition(" ")
        if word == "tercet" and folder:
            return folder
        if heard:
            raise DeviceError(
                f"{self.name}: what its shell prints at the start is in the way: {line[:100]!r}; its start-up files"
                " must print only at a terminal"
            )
        if self._keeper.poll() is None:
            raise DeviceError(f"{self.name}: connected to no shell within {CONNECT_S:g} s")
        raise DeviceError(refusal(self.name, os.pread(self._said.fileno(), 65536, 0).decode(errors="replace")))

    def _probe(self) -> Host:
        command = [self._python, "-I", "-", f"{self._folder}/site", *self._packages]
        with TemporaryFile() as script, TemporaryFile() as answer:
            script.write(PROBE.encode())
            script.seek(0)
            self._do(shlex.join(command), f"asking its {self._python}", stdin=script, stdout=answer, timeout_s=PROBE_S)
            answer.seek(0)
            said = answer.read(65536)
        try:
            return Host(**json.loads(said))
        except (ValueError, TypeError):
            raise DeviceError(f"{self.name}: its {self._python} answers rubbish: {last_words(said)!r}") from None

    def _converse(self, request: dict[str, Any], what: str, *, timeout_s: float) -> tuple[int, bytes, bytes]:
        """The runner's code and what it wrote; our end of its input stays open until then, for the leash."""
        runner = shlex.join([self._python, "-I", "-c", transport.START, f"{self._folder}/site"])
        process = subprocess.Popen(
            self._command(RUN.format(folder=shlex.quote(self._folder), command=runner)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        leash, process.stdin = process.stdin, None  # which `communicate` would close
        assert leash
        try:
            with suppress(BrokenPipeError):  # it has ended already; its code says why
                leash.write(json.dumps(request).encode() + b"\n")
                leash.flush()
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise DeviceError(f"{what}: no answer within {timeout_s:g} s; the process there was killed") from None
        finally:
            kill(process)
            with suppress(BrokenPipeError):
                leash.close()
        return process.returncode, out, err

    def _send(self, files: Mapping[str, Path]) -> None:
        """Files and folders, by their names there."""
        if not files:
            return
        with TemporaryFile() as stream:
            with tarfile.open(fileobj=stream, mode="w") as archive:
                for name, path in files.items():
                    archive.add(path, name, filter=_plain)
            stream.seek(0)
            # m: the times of now, for clocks differ and tar complains
            what = f"sending {', '.join(path.name for path in files.values())}"
            self._do(f"tar xmf - -C {shlex.quote(self._folder)}", what, stdin=stream)

    def _fetch(self, name: str, path: Path) -> None:
        with replaced(path) as temporary, temporary.open("wb") as file:
            self._do(f"cat {shlex.quote(f'{self._folder}/{name}')}", f"fetching {path.name}", stdout=file)

    def _do(
        self,
        script: str,
        what: str,
        *,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        timeout_s: float | None = None,
    ) -> None:
        """Run one command there, in the time of a transfer or another."""
        what, timeout_s = f"{self.name}: {what}", timeout_s or TRANSFER_S
        with TemporaryFile() as said:
            command = self._command(script)
            try:
                done = subprocess.run(
                    command,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=said,
                    timeout=timeout_s,
                    check=False,
                    start_new_session=True,
                )
            except subprocess.TimeoutExpired:
                raise DeviceError(f"{what}: not done within {timeout_s:g} s") from None
            said.seek(0)
            self._check(what, done.returncode, said.read(65536))

    def _check(self, what: str, code: int, said: bytes) -> None:
        """Raise what a command's code and words mean."""
        if code == 255 or self._keeper.poll() is not None:
            raise DeviceError(f"{what}: the connection was lost")
        if any(words in said for words in DISK_FULL):
            raise DeviceError(f"{what}: the disk is full there: {self._folder} is on it")
        if code == 127:
            raise DeviceError(f"{what}: no such command there: {last_words(said)}")
        if code:
            raise DeviceError(f"{what}: failed with code {code}: {last_words(said)}")

    def _command(self, script: str) -> list[str]:
        # without its keeper's connection a step must fail and not connect anew
        return connect(self.name, script, "-S", str(self._socket), "-o", "ControlMaster=no", "-o", "ProxyCommand=false")

    def _close(self) -> None:
        """End the keeper's input and wait until it has cleaned up."""
        for process in filter(None, (self._lock, self._keeper)):
            close(process, CLOSE_S)
        self._heard.close()
        self._said.close()
        self._local.__exit__(None, None, None)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """A member of nobody in particular; compiled Python stays here."""
    if member.name.endswith("__pycache__"):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
