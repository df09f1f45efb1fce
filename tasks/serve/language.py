"""The service of a language model: what is asked by HTTP, and the text that is answered, at once or as it comes."""

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from tasks.serve import openai
from tasks.serve.app import GONE, Limits, based, read
from tasks.serve.bundle import Bundle
from tasks.serve.classifier import JSON
from tasks.serve.completing import Piece, Wish
from tasks.serve.counts import Counts
from tasks.serve.openai import Chat, Completion, Sheet
from tasks.serve.pool import Answer, FullError, Job, Pool
from tasks.serve.speaker import Words

EVENTS = "text/event-stream"
LATE = 504
CODES = {404: "model_not_found"}  # of errors, where OpenAI has one


class NoAnswerError(Exception):
    """There is no answer, or no end of it; `status` is HTTP's."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True)
class Scribe:
    """What both ways of asking share."""

    name: str  # of the model
    pool: Pool
    words: Words
    room: int | None
    limits: Limits
    counts: Counts
    # makes tokens of prompts, one after the other: it takes longer than the event loop may be held
    reader: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    async def answer(self, kind: type[Completion] | type[Chat], request: Request) -> Response:
        """The response to a request for text."""
        response = await self._answer(kind, request)
        self.counts.statuses[response.status_code] += 1
        return response

    async def _answer(self, kind: type[Completion] | type[Chat], request: Request) -> Response:
        try:
            wanted, wish = await self._queued(kind, request)
        except ClientDisconnect:
            return Response(status_code=GONE)
        except TimeoutError:
            return failed(LATE, f"no request that was read within {self.limits.seconds:g} s")
        except NoAnswerError as error:
            return failed(error.status, str(error))
        except ValueError as error:
            return failed(400, str(error))
        except FullError as error:
            return failed(503, "too many requests wait; try later", retry_s=error.retry_s)
        sheet = Sheet(kind is Chat, self.name)
        if wanted.stream:
            return StreamingResponse(self._events(sheet, wish, told=wanted.told), media_type=EVENTS)
        return await self._whole(sheet, wish, request)

    async def _queued(self, kind: type[Completion] | type[Chat], request: Request) -> tuple[Completion | Chat, Wish]:
        """A request that is read, and what it wants on its way to a worker; see `_read` for what is raised, too."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.limits.seconds
        with self.pool.place() as queue:  # before its body is read
            async with asyncio.timeout_at(end):
                body = await read(request, self.limits.bytes)
                if body is None:
                    raise NoAnswerError(413, f"a body of up to {self.limits.bytes} bytes expected")
                wanted, prompt, most = await loop.run_in_executor(self.reader, self._read, kind, body)
            wish = Wish(prompt, most, wanted.stops, loop, end, apart=kind is Chat)
            job = Job(JSON, wish, loop.create_future())
            job.future.add_done_callback(lambda done: wish.pieces.put_nowait(done.result()))
            queue(job)
        return wanted, wish

    def _read(self, kind: type[Completion] | type[Chat], body: bytes) -> tuple[Completion | Chat, list[int], int]:
        """What a body asks for, the tokens of its prompt, and how many may be written; in the reader's thread.

        Raises:
            NoAnswerError: another model is asked for.
            ValueError: it is not what can be done here.
        """
        wanted = openai.asked(kind, body, self.room)
        if wanted.model not in (None, self.name):
            raise NoAnswerError(404, f"model: {self.name} expected; received {str(wanted.model)[:80]}")
        prompt = openai.prompted(wanted, self.words, self.room)
        return wanted, prompt, openai.most(wanted, len(prompt), self.room)

    async def _pieces(self, wish: Wish) -> AsyncIterator[Piece]:
        """What is written, until it ends, fails or takes too long; who stops listening ends it."""
        try:
            while True:
                try:
                    async with asyncio.timeout_at(wish.end):
                        piece = await wish.pieces.get()
                except TimeoutError:
                    said = f"no end within {self.limits.seconds:g} s; ask for fewer max_tokens"
                    raise NoAnswerError(LATE, said) from None
                if isinstance(piece, Answer):  # instead of an end: its worker has failed
                    raise NoAnswerError(piece.status, orjson.loads(piece.content)["error"])
                yield piece
                if piece.ended:
                    return
        finally:
            wish.cancelled.set()

    async def _events(self, sheet: Sheet, wish: Wish, *, told: bool) -> AsyncIterator[bytes]:
        first, written = True, 0
        try:
            async for piece in self._pieces(wish):
                written = piece.tokens
                if piece.text or piece.ended:
                    yield _event(orjson.dumps(sheet.part(piece, first=first)))
                    first = False
            if told:
                yield _event(orjson.dumps(sheet.last(len(wish.prompt), written)))
        except NoAnswerError as error:
            yield _event(bytes(failed(error.status, str(error)).body))
        yield _event(b"[DONE]")

    async def _whole(self, sheet: Sheet, wish: Wish, request: Request) -> Response:
        collecting = asyncio.ensure_future(self._collected(sheet, wish))
        leaving = asyncio.ensure_future(_gone(request))
        await asyncio.wait({collecting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not collecting.done():
            collecting.cancel()
            return Response(status_code=GONE)
        return collecting.result()

    async def _collected(self, sheet: Sheet, wish: Wish) -> Response:
        try:
            found = [piece async for piece in self._pieces(wish)]
        except NoAnswerError as error:
            return failed(error.status, str(error))
        text = "".join(piece.text for piece in found)
        return Response(orjson.dumps(sheet.whole(text, len(wish.prompt), found[-1])), media_type=JSON)


def _event(content: bytes) -> bytes:
    return b"data: " + content + b"\n\n"


async def _gone(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def failed(status: int, said: str, retry_s: int | None = None) -> Response:
    """An error as such clients expect it, in one line."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    content = {"error": {"message": " ".join(said.split()), "type": kind, "param": None, "code": CODES.get(status)}}
    headers = {} if retry_s is None else {"Retry-After": str(retry_s)}
    if status == LATE:  # OpenAI's client would ask twice more, for what would take as long again
        headers["x-should-retry"] = "false"
    return Response(orjson.dumps(content), status, headers, media_type=JSON)


def made(bundle: Bundle, scribe: Scribe) -> FastAPI:
    """The application of a bundle that writes."""
    app = based(bundle, scribe.pool, scribe.counts)

    async def completions(request: Request) -> Response:
        return await scribe.answer(Completion, request)

    async def chat(request: Request) -> Response:
        return await scribe.answer(Chat, request)

    app.add_route("/v1/completions", completions, methods=["POST"])
    app.add_route("/v1/chat/completions", chat, methods=["POST"])

    model = {"id": scribe.name, "object": "model", "created": int(time.time()), "owned_by": "tercet"}

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        return {"object": "list", "data": [model]}

    @app.get("/v1/models/{name}")
    async def one(name: str) -> Response:
        if name != scribe.name:
            return failed(404, f"model: {scribe.name} expected; received {name}")
        return Response(orjson.dumps(model), media_type=JSON)

    return app
