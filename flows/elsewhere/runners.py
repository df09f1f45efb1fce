"""Who runs the commands of a run: threads of its process, or the workers of Dask or Ray by Prefect's task runners.

A worker elsewhere is a process that was started in a clone of the project: `dask worker SCHEDULER --nthreads 1`, or
`ray start --address HEAD`. Without an address a run starts workers of its own on this machine, in its own folder.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import TaskRunner

from flows.elsewhere import exchange
from flows.elsewhere.asked import THREADS, Asked
from flows.start.dvc_bridge import Carry
from tasks.errors import ParamsError

PLACE = "/tmp/ray"  # noqa: S108 - Ray's own, but not where TMPDIR says: a socket's path has hardly a hundred characters


def _dask(address: str | None, workers: int) -> "TaskRunner[Any]":
    from prefect_dask.task_runners import DaskTaskRunner

    if address:
        return DaskTaskRunner(address=address)
    # what a worker may keep in memory is the kernel's to say
    alone = {"dashboard_address": None, "memory_limit": 0, "silence_logs": logging.CRITICAL}
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, **alone})


def _ray(address: str | None, workers: int) -> "TaskRunner[Any]":
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from prefect_ray import RayTaskRunner

    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": False}
    alone = {"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1", "_temp_dir": PLACE}
    found: TaskRunner[Any] = RayTaskRunner(address=address, init_kwargs=quiet if address else quiet | alone)
    return found


RUNNERS: dict[str, Callable[[str | None, int], "TaskRunner[Any]"]] = {"dask": _dask, "ray": _ray}


@task(name="elsewhere", cache_policy=NO_CACHE, persist_result=False)
def _carried(parcel: dict[str, Any]) -> dict[str, str]:
    return exchange.carry_out(parcel)


@contextmanager
def opened(runner: Asked) -> Iterator[Carry | None]:
    """Have a runner's workers as long as the block runs.

    Yields:
        What does a stage's command there; null where it is called here.

    Raises:
        ParamsError: its cluster does not answer.
    """
    if runner.name == THREADS:
        yield None
        return
    made = RUNNERS[runner.name](runner.address, os.cpu_count() or 1)
    with _connected(made, runner):
        around = copy_context()  # the flow's; that of a stage holds what no other process can have

        def carry(stage: Any, words: Sequence[str]) -> None:
            parcel = exchange.pack(stage, words, send=runner.address is not None)
            named = _carried.with_options(task_run_name=f"{' '.join(words)}, there")
            future = around.copy().run(made.submit, named, {"parcel": parcel.model_dump(mode="json")})
            exchange.unpack(stage, future.result())

        yield carry


@contextmanager
def _connected(made: "TaskRunner[Any]", runner: Asked) -> Iterator[None]:
    """Enter a task runner of Prefect, whose workers are then there."""
    where = f"{runner.name} at {runner.address}" if runner.address else runner.name
    try:
        made.__enter__()
        getattr(made, "client", None)  # Dask's connects only when it is asked for
    except Exception as error:  # the boundary: each cluster has errors of its own
        said = " ".join(str(error).split()) or type(error).__name__
        raise ParamsError(f"runner {where} cannot be used: {said}") from None
    try:
        yield
    finally:
        made.__exit__(None, None, None)
