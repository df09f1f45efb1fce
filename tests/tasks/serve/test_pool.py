"""What is brief is answered by the event loop's own thread, several at once, and nobody is kept waiting by it."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tasks.serve import server
from tasks.serve.app import Limits
from tasks.serve.pool import Answer, FullError, Handler, Here, Job, Pool
from tests.serving import WAIT_S, bundle

BRIEF, LONG = True, False


def echo(jobs: list[Job]) -> list[Answer]:
    """Each job's own body, and which thread it was answered by."""
    return [Answer(200, f"{job.body} {threading.current_thread().name}".encode()) for job in jobs]


def pool(here: Handler = echo, *, crowded: bool = True, limit_s: float = WAIT_S, most: int = 4) -> Pool:
    failed = lambda said: Answer(500, said.encode())  # noqa: E731
    return Pool([echo], capacity=40, most=most, limit_s=limit_s, failed=failed, here=Here(here, crowded))


def asked(made: Pool, ask: Callable[[Callable[[Any, bool], Job]], Coroutine[Any, Any, Any]]) -> Any:
    """What a coroutine returns that is given a way to submit bodies to a pool at work."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()

        def submitted(body: Any, brief: bool) -> Job:
            job = Job("", body, loop.create_future(), brief)
            made.submit(job)
            return job

        made.start(loop)
        try:
            return await asyncio.wait_for(ask(submitted), WAIT_S)
        finally:
            made.stop()

    return asyncio.run(main())


def test_brief_jobs_are_answered_by_the_loop_and_others_by_workers() -> None:
    taken: list[int] = []

    def counting(jobs: list[Job]) -> list[Answer]:
        taken.append(len(jobs))
        return echo(jobs)

    made = pool(counting)

    async def ask(submitted: Any) -> list[bytes]:
        jobs = [submitted(k, k % 3 > 0) for k in range(30)]
        assert made.inside == 30
        return [(await job.future).content for job in jobs]

    told = [content.decode().split(" ", 1) for content in asked(made, ask)]
    assert [int(body) for body, _ in told] == list(range(30))
    names = {brief: {name for k, (_, name) in enumerate(told) if (k % 3 > 0) == brief} for brief in (BRIEF, LONG)}
    assert names[BRIEF] == {threading.current_thread().name}
    assert not names[LONG] & names[BRIEF]
    assert (taken, made.inside) == ([4] * 5, 0), "twenty of them, as many at once as a worker takes"


def test_where_they_are_not_so_brief_only_one_that_is_alone_is() -> None:
    made = pool(crowded=False)
    here = threading.current_thread().name

    async def ask(submitted: Any) -> tuple[str, set[str]]:
        made.alone = lambda: True
        alone = submitted(0, BRIEF)
        assert alone.future.done(), "there is nobody to wait for"
        made.alone = lambda: False  # another is being read, say
        crowd = [await submitted(k, BRIEF).future for k in (1, 2)]
        made.alone = lambda: True
        behind = [submitted(3, LONG), submitted(4, BRIEF)]
        crowd += [await job.future for job in behind]
        return alone.future.result().content.decode(), {each.content.decode().split(" ", 1)[1] for each in crowd}

    first, names = asked(made, ask)
    assert first == f"0 {here}"
    assert here not in names


def test_the_loop_has_a_turn_between_brief_jobs() -> None:
    order: list[str] = []

    def slow(jobs: list[Job]) -> list[Answer]:
        order.append("jobs")
        return echo(jobs)

    made = pool(slow, most=1)

    async def ask(submitted: Any) -> None:
        jobs = [submitted(k, BRIEF) for k in range(3)]
        asyncio.get_running_loop().call_soon(order.append, "another")
        for job in jobs:
            await job.future

    asked(made, ask)
    assert order == ["jobs", "another", "jobs", "jobs"]


def test_they_count_among_those_that_wait() -> None:
    made = pool()

    async def ask(submitted: Any) -> bool:
        jobs = [submitted(k, BRIEF) for k in range(40)]
        with pytest.raises(FullError):
            submitted(40, BRIEF)
        assert made.full
        for job in jobs:
            await job.future
        return made.full

    assert asked(made, ask) is False


def test_what_is_too_late_is_not_worked_on_and_what_fails_is_told() -> None:
    bodies: list[Any] = []

    def failing(jobs: list[Job]) -> list[Answer]:
        bodies.extend(job.body for job in jobs)
        raise RuntimeError("out of\nmemory")

    made = pool(failing, limit_s=0.05, most=1)

    async def ask(submitted: Any) -> tuple[Answer, bool]:
        one, other = submitted("timely", BRIEF), submitted("late", BRIEF)
        other.arrived -= 1
        told = await one.future
        await asyncio.sleep(0.01)
        return told, other.future.done()

    told, done = asked(made, ask)
    assert told == Answer(500, b"out of memory")
    assert (bodies, done, made.inside) == (["timely"], False, 0)


@pytest.mark.parametrize(
    ("seconds", "threads", "crowded"), [(5e-5, 1, True), (5e-4, 1, False), (5e-3, 1, None), (5e-5, 2, None)]
)
def test_how_long_the_program_takes_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, threads: int, crowded: bool | None
) -> None:
    monkeypatch.setattr("tasks.serve.classifier.alone_s", lambda _model: seconds)
    monkeypatch.setattr("tasks.serve.bundle.cpus_allowed", lambda: 2)
    monkeypatch.setattr("tasks.serve.bundle.cpu_limit", lambda: None)
    here = server.prepared(bundle(tmp_path / "b"), 1, threads, Limits())
    assert ("the event loop itself" in here.plan) == (crowded is True)
    found = here.pool._here
    assert (found.crowded if found else None) == crowded


def test_a_call_is_timed_where_nothing_is_in_its_way(tmp_path: Path) -> None:
    from tasks.serve.batches import alone_s
    from tasks.serve.bundle import opened

    model = opened(bundle(tmp_path / "b")).model(1)
    quick, waits = model.invoke, iter([0.05, 0.0, 0.05, 0.02, 0.05])

    def invoke() -> None:
        time.sleep(0.02 + next(waits))
        quick()

    model.invoke = invoke
    assert 0.02 <= alone_s(model) < 0.04


def test_one_that_cannot_be_answered_fails_none_that_came_with_it(capfd: pytest.CaptureFixture[str]) -> None:
    def handle(jobs: list[Job]) -> list[Answer]:
        if "bad" in [job.body for job in jobs]:
            raise RuntimeError("gather index\nout of bounds")  # LiteRT's, of a number that no row of a table is for
        return echo(jobs)

    async def ask(submitted: Any) -> list[Answer]:
        jobs = [submitted(body, BRIEF) for body in ("a", "bad", "b", "c")]
        return [await job.future for job in jobs]

    made = pool(handle)
    answers = asked(made, ask)
    assert [answer.status for answer in answers] == [200, 500, 200, 200]
    assert answers[1].content == b"gather index out of bounds"
    assert made.inside == 0
    assert capfd.readouterr().err.count("a request failed") == 1
