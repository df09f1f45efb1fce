"""Workers, each a thread with a model of its own, and the bounded queue before them.

Requests come from the event loop's thread. A worker takes several at once where many wait, which saves a hand-over for
each; with several workers each takes its share. Where a model is brief, the loop's own thread has one too and answers
brief requests, several at once likewise: to wake a worker and to be woken by it takes longer than such a model, and two
threads that both want Python's lock hold each other up.
"""

import asyncio
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

RETRY_S = 1  # least that a client is told to wait
SHARE = 0.1  # of what a job took in the mean that estimates what the next one does


class Answer(NamedTuple):
    """What a client is sent: a status of HTTP and JSON."""

    status: int
    content: bytes
    retry_s: int | None = None  # when it is worth another try


@dataclass(eq=False, slots=True)
class Job:
    """A request on its way."""

    kind: str  # of its body: a media type
    body: Any
    future: "asyncio.Future[Answer]"
    brief: bool = False  # may be answered in the event loop's own thread
    arrived: float = field(default_factory=time.perf_counter)


class FullError(Exception):
    """The queue has no place; `retry_s` is when it is worth another try."""

    def __init__(self, retry_s: int) -> None:
        super().__init__(f"{retry_s} s")
        self.retry_s = retry_s


Handler = Callable[[list[Job]], Sequence[Answer]]  # one answer for each; in the worker's own thread


class Here(NamedTuple):
    """What answers in the event loop's own thread."""

    handle: Handler
    crowded: bool  # also where others wait or are being answered


class Pool:
    """The queue and the workers.

    Args:
        handlers: what each worker does with the jobs that it has taken.
        capacity: requests that may be inside: being read, waiting or being answered.
        most: jobs that a worker takes at once.
        limit_s: after which nobody waits for an answer any more.
        failed: the answer to a job whose handler raised, given what is to be said in one line.
        here: answers brief jobs in the event loop's own thread, all or those that are alone; None: nobody does.
    """

    def __init__(
        self,
        handlers: Sequence[Handler],
        *,
        capacity: int,
        most: int,
        limit_s: float,
        failed: Callable[[str], Answer],
        here: "Here | None" = None,
    ) -> None:
        self.capacity, self._most, self._limit_s, self._failed = capacity, most, limit_s, failed
        self.inside, self._mean_s = 0, 0.0
        self.alone: Callable[[], bool] = lambda: False  # whether the server has no other request at this moment
        self._handlers, self._here = handlers, here
        self._brief: deque[Job] = deque()  # that wait for the event loop to have a moment
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._since: list[float | None] = [None for _ in handlers]  # when each began with what it works on
        self.threads: list[Thread] = []

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work; answers go to this loop."""
        places = range(len(self._handlers))
        self.threads = [Thread(target=self._work, args=(place, loop), daemon=True) for place in places]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Let each worker end after what waits now."""
        for _ in self.threads:
            self._queue.put(None)

    @property
    def alive(self) -> bool:
        """Whether every worker is there, and none has hung for twice the time that anybody waits."""
        now = time.perf_counter()
        hung = any(since is not None and now - since > 2 * self._limit_s for since in self._since)
        return not hung and all(thread.is_alive() for thread in self.threads)

    @property
    def full(self) -> bool:
        """Whether the next request would be sent away."""
        return self.inside >= self.capacity

    @contextmanager
    def place(self) -> "Iterator[Callable[[Job], None]]":
        """Count a request from before it is read; what queues its job, which then has the place until it is done.

        Raises:
            FullError: so many are inside already.
        """
        if self.full:
            raise FullError(max(RETRY_S, math.ceil(self.inside * self._mean_s / len(self._handlers))))
        self.inside += 1
        queued = False

        def queue(job: Job) -> None:
            nonlocal queued
            queued = True
            self._put(job)

        try:
            yield queue
        finally:
            if not queued:  # it was not read to its end, or asks for nothing that can be done
                self.inside -= 1

    def submit(self, job: Job) -> None:
        """Queue a job that is there.

        Raises:
            FullError: so many are inside already.
        """
        with self.place() as queue:
            queue(job)

    def _put(self, job: Job) -> None:
        alone = self.inside == 1 and self.alone()
        if not (self._here and job.brief and (alone or self._here.crowded)):
            self._queue.put(job)
            return
        self._brief.append(job)
        if alone:
            self._answer_here(self._here.handle)
        elif len(self._brief) == 1:  # those behind it come before the loop gets there
            job.future.get_loop().call_soon(self._answer_here, self._here.handle)

    def _answer_here(self, handle: Handler) -> None:
        """Answer some of the brief jobs, then let the loop read and write."""
        jobs = [self._brief.popleft() for _ in range(min(self._most, len(self._brief)))]
        if self._brief:
            jobs[0].future.get_loop().call_soon(self._answer_here, handle)
        self._left(self._worked(handle, jobs))

    def _taken(self) -> list[Job] | None:
        """The next jobs, the first of which is waited for; None: it is time to end."""
        first = self._queue.get()
        if first is None:
            return None
        jobs = [first]
        for _ in range(min(self._most - 1, self._queue.qsize() // len(self._handlers))):
            try:
                job = self._queue.get_nowait()
            except Empty:
                break
            if job is None:
                self._queue.put(None)
                break
            jobs.append(job)
        return jobs

    def _work(self, place: int, loop: asyncio.AbstractEventLoop) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            while (jobs := self._taken()) is not None:
                self._since[place] = time.perf_counter()
                done = self._worked(self._handlers[place], jobs)
                self._since[place] = None
                loop.call_soon_threadsafe(self._left, done)

    def _worked(self, handle: Handler, jobs: list[Job]) -> dict[Job, Answer | None]:
        """What each job is answered; None: it is too late for it."""
        began = time.perf_counter()
        timely = [job for job in jobs if began - job.arrived < self._limit_s]
        answers = self._answers(handle, timely)
        took_s = (time.perf_counter() - began) / len(jobs)
        self._mean_s += SHARE * (took_s - self._mean_s)
        return {**dict.fromkeys(jobs), **dict(zip(timely, answers, strict=True))}

    def _answers(self, handle: Handler, jobs: list[Job]) -> Sequence[Answer]:
        """One answer each. What fails for several is done for each alone: the others must not suffer from one."""
        try:
            return handle(jobs) if jobs else []
        except Exception as error:
            if len(jobs) > 1:
                return [answer for job in jobs for answer in self._answers(handle, [job])]
            said = " ".join(str(error).split()) or type(error).__name__
            print(f"tercet serve: a request failed: {type(error).__name__}: {said}", file=sys.stderr)  # noqa: T201
            return [self._failed(said)]

    def _left(self, done: dict[Job, Answer | None]) -> None:
        self.inside -= len(done)
        self._finish(done)

    @staticmethod
    def _finish(done: dict[Job, Answer | None]) -> None:
        for job, answer in done.items():
            if answer is not None and not job.future.done():  # else its client has been told that it took too long
                job.future.set_result(answer)
