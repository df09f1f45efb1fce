"""The server's connections: how many there may be, and how long one stays on which nothing is asked."""

import asyncio
import resource
from pathlib import Path
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

IDLE_S = 5  # until a connection is closed on which no request has come, or is half there
MOST = 4096  # connections: some tens of MB
SPARE = 64  # files that are left for all else, and for what is accepted at once


def allowed() -> int:
    """How many connections this process has files for, next to those that are open now; at least one."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = len(list(Path("/dev/fd").iterdir()))
    return MOST if files == resource.RLIM_INFINITY else max(1, min(MOST, files - taken - SPARE))


class Connection(HttpToolsProtocol):
    """A connection that is closed where no request has come for `IDLE_S`, or where there are more than `most`.

    uvicorn itself waits for the first request for ever, and for the next one as long as bytes come. Where there are too
    many connections, the one that has waited longest is closed: a request is answered however many are silent.
    """

    most: ClassVar[int] = MOST
    _waits: asyncio.TimerHandle | None = None  # for a request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.most:
            waiting = [each for each in self.connections if isinstance(each, Connection) and each._waits]
            min(waiting, key=Connection._until)._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._come()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """A request has come; its body is for the application to bound."""
        self._come()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The next request is waited for, unless it is there."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._wait()

    def _wait(self) -> None:
        self._come()
        self._waits = self.loop.call_later(IDLE_S, self._close)

    def _come(self) -> None:
        if self._waits:
            self._waits.cancel()
            self._waits = None

    def _until(self) -> float:
        return self._waits.when() if self._waits else 0.0

    def _close(self) -> None:
        self._come()
        self.transport.close()


def bounded() -> type[Connection]:
    """The connections of a server that begins now."""
    return type("Bounded", (Connection,), {"most": allowed()})
