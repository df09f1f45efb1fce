"""`tercet serve`: say where a bundle is served, and serve it."""

import os
from dataclasses import dataclass
from pathlib import Path

from flows.start.quiet import quiet_libraries
from tasks.bench.runner import pages
from tasks.serve import server
from tasks.serve.app import Limits


@dataclass(frozen=True)
class Wish:
    """What the command line says."""

    bundle: Path
    host: str
    port: int
    workers: int | None
    threads: int | None
    limits: Limits


def serve(wish: Wish) -> None:
    """Serve until interrupted.

    Raises:
        TercetError: the bundle, its runtime or the port cannot be used.
    """
    if server.worth_huge_pages(wish.bundle):  # as it was measured
        pages.start_again()
    quiet_libraries(Path(os.devnull))  # it may be started anywhere, and leaves nothing there
    service = server.prepared(wish.bundle, wish.workers, wish.threads, wish.limits)
    listener = server.listening(wish.host, wish.port)
    host, port = listener.getsockname()[:2]
    print(f"{service.plan}\nhttp://{f'[{host}]' if ':' in host else host}:{port} (interrupt to stop)", flush=True)
    server.made(service).run(sockets=[listener])
