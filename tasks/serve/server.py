"""`tercet serve`: a bundle on a port of this machine."""

import json
import math
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from tasks.bench.runner import pages
from tasks.errors import DeviceError
from tasks.serve import app, language, speaker
from tasks.serve.app import Limits
from tasks.serve.bundle import Bundle, opened, placed
from tasks.serve.classifier import Classifier, refusal
from tasks.serve.completing import Completer
from tasks.serve.counts import Counts
from tasks.serve.pool import Answer, Handler, Here, Pool

if TYPE_CHECKING:
    import uvicorn

BACKLOG = 2048  # connections that wait to be accepted
ALONE_S = 1e-3  # a program that takes no longer may hold the event loop, where only one client asks
CROWDED_S = 1e-4  # always: to read a request and to write its answer takes as long


@dataclass(frozen=True)
class Service:
    """What is served, its models loaded."""

    app: ASGIApp
    pool: Pool
    plan: str  # in a line
    limit_s: int  # that what is being answered has when the server is to end


def worth_huge_pages(folder: Path) -> bool:
    """Whether a bundle's runtime gains by them; False where it cannot be told: `prepared` says what is wrong."""
    try:
        return pages.worth(json.loads((folder / "manifest.json").read_bytes())["program"]["options"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def prepared(folder: Path, workers: int | None, threads: int | None, limits: Limits) -> Service:
    """Make a bundle ready to be served.

    Raises:
        DataError: the bundle is not as it was shipped, or its runtime is not installed.
        ParamsError: more threads than processors.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads that nobody has counted
    bundle = opened(folder)
    workers, threads = placed(bundle, workers, threads)
    make = _writing if bundle.program["module"] in speaker.GENERATE else _classifying
    return make(bundle, workers, threads, limits)


def _classifying(bundle: Bundle, workers: int, threads: int, limits: Limits) -> Service:
    counts = Counts()
    handlers = [Classifier(bundle, threads, counts) for _ in range(workers)]
    here = _here(bundle, handlers[0], threads, counts)
    pool = _pool(handlers, limits, limits.together, here)
    wide = handlers[0].wide
    batches = f"{wide.worth} or more examples in one call" if wide else "one example a call"
    brief = ", brief requests by the event loop itself" if here and here.crowded else ""
    plan = f"{bundle.name}: {_put(workers, threads)}{brief}, {batches}; POST /predict"
    return Service(app.made(bundle, pool, counts, limits), pool, plan, math.ceil(limits.seconds))


def _writing(bundle: Bundle, workers: int, threads: int, limits: Limits) -> Service:
    counts, words = Counts(), speaker.Words(bundle)
    handlers = [Completer(bundle, words, threads, counts) for _ in range(workers)]
    pool, room = _pool(handlers, limits, 1), handlers[0].room
    name = f"{bundle.manifest['variant']}-{bundle.manifest['device']}"
    scribe = language.Scribe(name, pool, words, room, limits, counts)
    plan = f"{bundle.name}: {_put(workers, threads)}, room for {room} tokens; POST /v1/completions"
    plan += ", /v1/chat/completions" if words.chat else ""
    return Service(language.made(bundle, scribe), pool, plan, math.ceil(limits.seconds))


def _here(bundle: Bundle, measured: Classifier, threads: int, counts: Counts) -> Here | None:
    """What answers in the event loop's own thread: a program of its own, where it takes less than what is around it."""
    if threads > 1 or measured.alone_s > ALONE_S:
        return None
    return Here(Classifier(bundle, threads, counts), crowded=measured.alone_s <= CROWDED_S)


def _pool(handlers: Sequence[Handler], limits: Limits, together: int, here: Here | None = None) -> Pool:
    def failed(said: str) -> Answer:
        return refusal(500, said)

    return Pool(handlers, capacity=limits.inside, most=together, limit_s=limits.seconds, failed=failed, here=here)


def _put(workers: int, threads: int) -> str:
    return f"{workers} worker{'s' if workers > 1 else ''} with {threads} thread{'s' if threads > 1 else ''}"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        DeviceError: the port is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends what is small at once only where the protocol is named; else it waits for the other's ACK, 40 ms
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise DeviceError(f"{host}:{port}: {error.strerror or error}; --port 0 takes a free one") from None
    return made


def made(service: Service) -> "uvicorn.Server":
    """The server of a service, which has not begun."""
    import uvicorn

    from tasks.serve import connections

    config = uvicorn.Config(
        service.app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=service.limit_s,
        http=connections.bounded(),
        timeout_keep_alive=connections.IDLE_S,
        backlog=BACKLOG,
    )
    server = uvicorn.Server(config)
    service.pool.alone = lambda: len(server.server_state.tasks) < 2
    return server
