"""What is on its way to a device: files by their SHA-256, each as far as it has come, so that a shipment goes on."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import BinaryIO

from .store import Store, remove, sync

PIECE = 2**18  # bytes
SILENT_S = 60  # so long nothing may come; then this process ends as if it had been killed, and the device is free
UNPACKED = 4  # bytes of packages for each of their archive
ROOM = 2**20  # bytes that stay free
TAR_S = 600
DIGEST = re.compile("[0-9a-f]{64}")


class FullError(Exception):
    """What is to come does not fit on the disk: the message says how much does."""


class OutsideError(Exception):
    """A name leads elsewhere than what is brought may lie."""


class Incoming:
    """The folder `incoming` of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.folder = store.folder / "incoming"

    def there(self, wanted: dict[str, int]) -> dict[str, int]:
        """How many bytes of each file have come; only what is wanted stays.

        Args:
            wanted: the bytes of each file, by its SHA-256.

        Raises:
            FullError: the rest does not fit.
            OutsideError: a file is named by something else.
        """
        for name in wanted:
            self._piece(name)
        self.folder.mkdir(exist_ok=True)
        for path in self.folder.iterdir():
            if path.name not in wanted:
                remove(path)
        sizes = {path.name: path.stat().st_size for path in self.folder.iterdir()}
        found = {name: sizes.get(name, 0) for name in wanted}
        for name in (name for name in found if found[name] > wanted[name]):
            (self.folder / name).unlink()
            found[name] = 0
        self._check_room(2 * sum(wanted.values()) - sum(found.values()))  # for what is installed is a copy
        return found

    def take(self, wanted: dict[str, int], found: dict[str, int], stream: BinaryIO) -> list[str]:
        """Read the rest of each file, in the order of their names; those that came out wrong, which are gone again.

        Raises:
            EOFError: the stream has ended: what came stays.
        """
        for name in sorted(wanted):
            with (self.folder / name).open("ab") as file:
                _copy(stream, file, wanted[name] - found[name])
        wrong = [name for name in wanted if digest(self.folder / name) != name]
        for name in wrong:
            (self.folder / name).unlink()
        return wrong

    def lay_out(self, what: str, names: dict[str, str]) -> Path:
        """A folder of files by their names; the SHA-256 of each tells which it is.

        Raises:
            OutsideError: a name leads out of it.
        """
        folder = self.folder / what
        remove(folder)
        folder.mkdir()
        for name, content in names.items():
            if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or "\0" in name:
                raise OutsideError(f"{name!a} is no name of a file in the bundle")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(self._piece(content), folder / name)
            except OSError:  # a file system without hard links
                shutil.copyfile(self._piece(content), folder / name)
                sync(folder / name)
        return folder

    def unpack(self, archive: str) -> Path:
        """The packages of an archive, unpacked for good.

        Raises:
            OutsideError: it is named by something else than its SHA-256.
            FullError: what is in it does not fit.
        """
        piece = self._piece(archive)
        folder = self.store.folder / "packages" / archive[:16]
        if not folder.is_dir():
            self._check_room(UNPACKED * piece.stat().st_size)
            folder.parent.mkdir(exist_ok=True)
            temporary = folder.with_name(f".{folder.name}.tmp")
            remove(temporary)
            temporary.mkdir()
            command = ["tar", "xzmf", str(piece), "-C", str(temporary)]
            done = subprocess.run(command, capture_output=True, timeout=TAR_S, check=False)
            if done.returncode:
                said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                remove(temporary)
                raise OSError(f"tar: {' '.join(said)}")
            os.sync()  # all that `tar` has written, before it has a name that is trusted
            temporary.rename(folder)
            sync(folder.parent)
        return folder

    def _piece(self, name: str) -> Path:
        """Where a file comes to lie, or came to."""
        if not DIGEST.fullmatch(name):
            raise OutsideError(f"{name!a} is no SHA-256")
        return self.folder / name

    def _check_room(self, needed: int) -> None:
        needed, free = needed + ROOM, shutil.disk_usage(self.folder).free
        if needed > free:
            raise FullError(f"the disk is full there: {free >> 20} MiB free, and {-(-needed >> 20)} MiB needed")

    def clear(self) -> None:
        """Take all away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _copy(stream: BinaryIO, file: BinaryIO, count: int) -> None:
    while count:
        signal.alarm(SILENT_S)
        piece = stream.read1(min(count, PIECE))  # type: ignore[attr-defined]  # standard input has it
        signal.alarm(0)
        if not piece:
            raise EOFError
        file.write(piece)
        count -= len(piece)
    file.flush()
    os.fsync(file.fileno())


def digest(path: Path) -> str | None:
    """The SHA-256 of a file, in hex; None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
