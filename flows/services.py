"""`tercet up`, `down`, `backup` and `restore`: the services that a team's runs stand on, on this machine."""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from tasks.services import backup as kept
from tasks.services import buckets, python, s3, stack
from tasks.services.place import Place, known

REMOTE = "services"  # in DVC's settings of this working copy
INITIAL = "local"  # the remote of a new project, which nobody has chosen


def up() -> Iterator[str]:
    """Start what does not run, deploy prefect.yaml, and tell where all is.

    Raises:
        TercetError: a service is not installed, or does not come up; its last words are told.
    """
    for service in stack.start_all():
        yield f"ready  {service.name}"
    place = known()
    os.environ.update(python.clients(place))
    from flows.deploy import deploy  # imports Prefect, which reads its settings then

    _set_remote(place)
    yield f"ready  {stack.begin_worker().name}"
    yield from (f"ready  {name}" for name in deploy())
    yield f"Prefect  http://{place.address('prefect')}  user and password: see {stack.ENVIRONMENT}"
    yield f"MLflow   http://{place.address('mlflow')}"
    yield f"for `tercet run` to use them:  . {shlex.quote(str(stack.ENVIRONMENT))}"


def down() -> Iterator[str]:
    """End what runs, each in order."""
    ended = stack.stop_all()
    yield from (f"ended  {name}" for name in ended)
    if not ended:
        yield "nothing runs"


def backup(path: Path) -> str:
    """Write all that the services keep to a file, while they run."""
    count = kept.backup(path)
    return f"{path}: both databases and {count} objects, {path.stat().st_size / 2**20:.1f} MiB"


def restore(path: Path) -> str:
    """Have the services keep what a file says; they must not run."""
    return f"{path}: both databases and {kept.restore(path)} objects are as they were; `tercet up` starts all"


def _set_remote(place: Place) -> None:
    """Have DVC know the store, and push to it unless the project pushes elsewhere already."""
    from dvc.config import Config

    config = Config.from_cwd()
    with config.edit("local") as settings:
        settings.setdefault("remote", {})[REMOTE] = {
            "url": "s3://dvc", "endpointurl": s3.url(place), "region": buckets.REGION,
            "credentialpath": str(s3.keys(place)),
        }  # fmt: skip
    if config["core"].get("remote") in (None, INITIAL):
        with config.edit("local") as settings:
            settings.setdefault("core", {})["remote"] = REMOTE
