"""The service: what is asked by HTTP, and what is answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from tasks.serve import metrics
from tasks.serve.bundle import Bundle
from tasks.serve.classifier import IMAGES, JSON, TEXT, refusal
from tasks.serve.counts import Counts
from tasks.serve.pool import Answer, FullError, Job, Pool

GONE = 499  # nobody reads the answer
BRIEF_BYTES = 1 << 16  # of a body that is quickly read
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Limits:
    """What one client may cost."""

    seconds: float = 10.0  # from a request's arrival to its answer
    bytes: int = 16 << 20  # of a body
    inside: int = 256  # requests that are being read, wait or are being answered
    together: int = 16  # of them, that a worker takes at once


def made(bundle: Bundle, pool: Pool, counts: Counts, limits: Limits) -> ASGIApp:
    """The application of a bundle that classifies."""
    rest = based(bundle, pool, counts)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # before FastAPI, whose layers take 10 µs: a third of what a small model does
        if scope["type"] != "http" or scope["path"] != "/predict":
            return await rest(scope, receive, send)
        if scope["method"] != "POST":
            return await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
        answer = await answered(Request(scope, receive), pool, limits)
        counts.statuses[answer.status] += 1
        return await sent(answer)(scope, receive, send)

    return app


def based(bundle: Bundle, pool: Pool, counts: Counts) -> FastAPI:
    """An application whose workers begin and end with it, and that tells of itself."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        pool.start(asyncio.get_running_loop())
        yield
        pool.stop()

    app = FastAPI(title=f"Tercet: {bundle.name}", lifespan=lifespan, docs_url=None, redoc_url=None)
    watched(app, bundle, pool, counts)
    return app


def watched(app: FastAPI, bundle: Bundle, pool: Pool, counts: Counts) -> None:
    """Add what tells of the service itself: /health, /ready, /metrics, /counts and what is served, at /."""
    about = {"variant": bundle.manifest["variant"], "device": bundle.manifest["device"], "sha256": bundle.digest}
    collector = metrics.Collector(counts, about, lambda: pool.inside, metrics.Energy())

    @app.get("/")
    async def what() -> dict[str, object]:
        return {**about, "inputs": {name: spec["kind"] for name, spec in bundle.inputs.items()}}

    @app.get("/health")
    async def health() -> Response:
        return Response(status_code=200) if pool.alive else sent(refusal(500, "a worker has ended or hangs"))

    @app.get("/ready")
    async def ready() -> Response:
        return sent(refusal(503, "the queue is full")) if pool.full else Response(status_code=200)

    @app.get("/metrics")
    async def told() -> Response:
        return Response(metrics.text(collector), media_type=PROMETHEUS)

    @app.get("/counts")
    async def windows() -> dict[str, object]:
        return {**about, "reference": bundle.reference, "windows": counts.windows()}


async def answered(request: Request, pool: Pool, limits: Limits) -> Answer:
    """What a request for answers gets, within the limits."""
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind not in (JSON, TEXT, *IMAGES):
        return refusal(415, f"a body of {', '.join((JSON, TEXT, *IMAGES))} expected; received {kind}")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limits.seconds):
            with pool.place() as queue:  # before its body is read: what is half there takes memory, too
                body = await read(request, limits.bytes)
                if body is None:
                    return refusal(413, f"a body of up to {limits.bytes} bytes expected")
                job = Job(kind, body, loop.create_future(), brief=kind == JSON and len(body) <= BRIEF_BYTES)
                queue(job)
            return await job.future
    except ClientDisconnect:
        return Answer(GONE, b"")
    except TimeoutError:
        return refusal(504, f"no answer within {limits.seconds:g} s")
    except FullError as error:
        return refusal(503, "too many requests wait; try later", retry_s=error.retry_s)


async def read(request: Request, most: int) -> bytes | None:
    """A body; None: it is larger than allowed, and is not read on."""
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > most:
            return None
    return b"".join(parts)


def sent(answer: Answer) -> Response:
    """An answer as a response."""
    headers = None if answer.retry_s is None else {"Retry-After": str(answer.retry_s)}
    return Response(answer.content, answer.status, headers, media_type=JSON)
