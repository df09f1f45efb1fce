"""A conversation with the keeper of a device, which is sent there and runs from memory: see `device/keeper.py`."""

import getpass
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

from tasks.bench import shipping
from tasks.errors import DeviceError, ShippingError
from tasks.process import close, ready
from tasks.ship.targets import Target
from tasks.sign.device import verify

PACKAGE = "onboard"  # what the modules are called there
KEEPER = Path(__file__).parent / "device"
GREETING_S, ANSWER_S, TAKES_S, CLOSE_S = 120.0, 120.0, 60.0, 10.0  # a greeting may have to settle something first
PIECE = 2**18  # bytes
SLOWEST_BYTES_S = 1e6  # that a device takes in and reads again
Piece = Path | bytes  # a file, or its content


def size(piece: Piece) -> int:
    """Bytes."""
    return len(piece) if isinstance(piece, bytes) else piece.stat().st_size


class LostError(DeviceError):
    """The connection has gone, or whoever was at its other end."""


class Link:
    """The conversation, within `with`; with `hold` nobody else may ship to the device meanwhile.

    Raises:
        ShippingError: the device refuses; the line says why.
        LostError: it does not answer any more.
        DeviceError: it cannot be reached.
    """

    def __init__(self, target: Target, *, hold: bool) -> None:
        self.target, self.hold = target, hold
        self.greeted = False
        self.settled: str | None = None  # what is said of a former shipment that was interrupted
        self._heard = b""

    def __enter__(self) -> Self:
        sent = json.dumps({"sources": sources(), "site": [], "run": f"{PACKAGE}.ship.keeper", **self._words()})
        self._said = TemporaryFile()
        self._process = self._started()
        try:
            self._write(b"%d\n%s" % (len(sent), sent.encode()))
            self.settled = self._answer(GREETING_S)["settled"]
            self.greeted = True
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def ask(self, do: str, *, timeout_s: float = ANSWER_S, **what: Any) -> dict[str, Any]:
        """The answer to a request."""
        self._write(json.dumps({"do": do, **what}).encode() + b"\n")
        return self._answer(timeout_s)

    def put(self, name: str, files: Mapping[str, Piece], told: Callable[[int], None] = lambda _: None) -> None:
        """Bring files there, by their SHA-256; what an earlier try has brought is not sent again.

        Args:
            name: of the bundle that they are of.
            files: the files.
            told: is called with the bytes that were there already.
        """
        sizes = {digest: size(piece) for digest, piece in files.items()}
        for _ in range(2):
            have = self.ask("put", id=name, files=sizes)["have"]
            told(sum(have.values()))
            for digest in sorted(sizes):
                self._send(files[digest], have[digest])
            if not (again := self._answer(ANSWER_S + sum(sizes.values()) / SLOWEST_BYTES_S)["again"]):
                return
        raise ShippingError(f"{self.target.name}: {len(again)} files came out wrong there, twice: is its disk sound?")

    def _started(self) -> "subprocess.Popen[bytes]":
        command = self.target.command((KEEPER / "boot.py").read_text(encoding="utf-8"))
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                command, bufsize=0, stdin=pipe, stdout=pipe, stderr=self._said, start_new_session=True
            )
        except OSError as error:
            self._said.close()
            raise DeviceError(f"{self.target.name}: {command[0]} does not start: {error.strerror}") from None
        assert process.stdin
        os.set_blocking(process.stdin.fileno(), False)  # so that `_write` has a time limit
        return process

    def _send(self, piece: Piece, offset: int) -> None:
        if isinstance(piece, bytes):
            return self._write(piece[offset:])
        with piece.open("rb") as file:
            file.seek(offset)
            while part := file.read(PIECE):
                self._write(part)
        return None

    def _words(self) -> dict[str, list[str]]:
        by = f"{getpass.getuser()}@{platform.node()}"
        return {"words": [self.target.folder, by, "hold" if self.hold else "look"]}

    def _write(self, content: bytes) -> None:
        assert self._process.stdin
        to, left = self._process.stdin.fileno(), memoryview(content)
        with suppress(BrokenPipeError):  # it has ended already: what it said is read next
            while left:
                if not ready(to, TAKES_S, to_take=True):
                    raise LostError(f"{self.target.name}: takes nothing in for {TAKES_S:g} s")
                left = left[os.write(to, left) :]

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        """The next answer that is not only a step on the way."""
        end = time.monotonic() + timeout_s
        while True:
            line = self._line(end)
            try:
                answer = json.loads(line)
            except ValueError:
                raise DeviceError(f"{self.target.name}: what its shell prints is in the way: {line[:100]!r}") from None
            if "failed" in answer:
                raise ShippingError(f"{self.target.name}: {answer['failed']}{runs(answer)}", answer["code"])
            if answer.keys() != {"step"}:
                return dict(answer)

    def _line(self, end: float) -> bytes:
        assert self._process.stdout
        out = self._process.stdout.fileno()
        while b"\n" not in self._heard:
            if not ready(out, end - time.monotonic()):
                raise LostError(f"{self.target.name}: no answer in time")
            piece = os.read(out, PIECE)
            if not piece:
                raise self._lost()
            self._heard += piece
        line, _, self._heard = self._heard.partition(b"\n")
        return line

    def _lost(self) -> DeviceError:
        """Why nothing comes any more."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(CLOSE_S)
        said = os.pread(self._said.fileno(), 65536, 0).decode(errors="replace")
        if not self.greeted:
            return DeviceError(self.target.refusal(said))
        return LostError(f"{self.target.name}: the connection was lost")

    def _close(self) -> None:
        close(self._process, CLOSE_S)
        self._said.close()


def runs(found: Mapping[str, Any]) -> str:
    """What a device says that it runs, as the end of a sentence; empty where it does not say."""
    if "current" not in found:
        return ""
    variant = (found["champion"] or {}).get("variant", "a bundle")
    return f"; it runs {variant} ({found['current']})" if found["current"] else "; it runs nothing"


def sources() -> dict[str, str]:
    """What is sent: the keeper, what it reads counters by, and what judges signatures."""
    places = {f"ship.{path.stem}": path for path in KEEPER.glob("*.py")}
    places |= {f"runner.{name}": path for name, path in shipping.closure("counters").items()}
    places |= {f"sign.{path.stem}": path for path in Path(str(verify.__file__)).parent.glob("*.py")}
    return {f"{PACKAGE}.{name}": path.read_text(encoding="utf-8") for name, path in places.items() if "__" not in name}
