"""What a worker does for one who asks a language model for text, and how its pieces reach the event loop."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from threading import Event
from typing import NamedTuple

from tasks.serve.bundle import Bundle
from tasks.serve.counts import Counts
from tasks.serve.pool import Answer, Job
from tasks.serve.speaker import Words, writer

DONE = Answer(200, b"")


class Piece(NamedTuple):
    """Some text, and why it ends with it: `stop` or `length`; None: there is more."""

    text: str
    tokens: int  # written so far
    ended: str | None = None


@dataclass(eq=False)
class Wish:
    """A text to be gone on with."""

    prompt: list[int]
    most: int  # tokens
    stops: tuple[str, ...]  # texts that end it, and are not part of it
    loop: asyncio.AbstractEventLoop
    end: float  # of the loop's time, when nobody waits any more
    apart: bool = False  # it is a text of its own, as a message is; else it is to be appended to the prompt
    pieces: "asyncio.Queue[Piece | Answer]" = field(default_factory=asyncio.Queue)  # an answer is the last
    cancelled: Event = field(default_factory=Event)  # nobody waits for it any more


class Completer:
    """A model of its own, which writes one text after the other."""

    def __init__(self, bundle: Bundle, words: Words, threads: int, counts: Counts) -> None:
        self._writer, self._words, self._counts = writer(bundle, threads), words, counts
        self.room = self._writer.room

    def __call__(self, jobs: list[Job]) -> list[Answer]:
        """Write what each asks for; its pieces go to whoever waits."""
        for job in jobs:
            self._counts.step("queue", time.perf_counter() - job.arrived)
            wish: Wish = job.body
            began, tokens = time.perf_counter(), 0
            for piece in self._written(wish):
                tokens = piece.tokens
                wish.loop.call_soon_threadsafe(wish.pieces.put_nowait, piece)
            if tokens:
                self._counts.answered(None, None, (time.perf_counter() - began) / tokens)
        return [DONE] * len(jobs)

    def _written(self, wish: Wish) -> Iterator[Piece]:
        self._counts.tokens["prompt"] += len(wish.prompt)
        stream = self._words.stream([] if wish.apart else wish.prompt)
        held, written, began = Held(wish.stops), 0, time.perf_counter()
        for token in islice(self._writer.tokens(wish.prompt), wish.most):
            now = time.perf_counter()
            self._counts.step("invoke", now - began)
            began = now
            if wish.cancelled.is_set():
                return
            if token in self._words.ends:
                yield Piece(held.rest(), written, "stop")
                return
            written += 1
            self._counts.tokens["written"] += 1
            text = held.add(stream.step(token))
            if held.found:
                yield Piece(text, written, "stop")
                return
            yield Piece(text, written)
        yield Piece(held.rest(), written, "length")


class Held:
    """Text that may be the beginning of one that ends it is kept back until that is known."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops, self._text, self.found = stops, "", False

    def add(self, text: str) -> str:
        """What can be told now that this has come."""
        self._text += text
        places = [place for stop in self._stops if (place := self._text.find(stop)) >= 0]
        if places:
            self.found = True
            return self._text[: min(places)]
        kept = max((self._kept(stop) for stop in self._stops), default=0)
        told, self._text = self._text[: len(self._text) - kept], self._text[len(self._text) - kept :]
        return told

    def _kept(self, stop: str) -> int:
        """How many characters at the text's end may be the first ones of what ends it, which may be far longer."""
        lengths = range(min(len(stop) - 1, len(self._text)), 0, -1)
        return next((n for n in lengths if self._text.endswith(stop[:n])), 0)

    def rest(self) -> str:
        """What was kept back, where no more comes."""
        return self._text
