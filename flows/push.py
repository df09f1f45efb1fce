"""Sending what the project has to the remote that others take it from."""

from dvc.repo import Repo
from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.start.dvc_words import told
from tasks.errors import TrackingError

WAITS_S = [5.0, 30.0]  # before another try


@task(
    cache_policy=NO_CACHE, persist_result=False, task_run_name="push", retries=len(WAITS_S), retry_delay_seconds=WAITS_S
)
def push() -> int:
    """Send to DVC's default remote what it lacks of the outputs, and of what would restore earlier ones.

    A push that breaks off leaves whole objects alone: each is written under its name when it has arrived.

    Returns:
        How many files were sent.

    Raises:
        TrackingError: the remote does not take it; all is here still, and the next push sends it.
    """
    try:
        repo = Repo(".", _wait_for_lock=True)
        return int(repo.push(run_cache=True))
    except Exception as error:  # the boundary: DVC lets through what its storages raise
        raise TrackingError(
            f"the remote of DVC takes nothing: {told(error)}; nothing is lost: `dvc push` sends it"
        ) from error
