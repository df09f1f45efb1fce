"""Publishing to MLflow, each record once. The JSON files are the truth: a server that is away loses nothing.

This is the only module that imports MLflow, and only when there is something to send. `.tercet/published.json` lists
what each server has; without it the server itself is asked, by the digest that each run is tagged with. If a server
was emptied, delete that file.
"""

import json
import logging
import os
import queue
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks import entries, files, paths, tracking_server
from tasks.entries import Alias, Artifact, Entry, Point, Run
from tasks.errors import TrackingError
from tasks.params import Params
from tasks.tracking_server import DEFAULT_URI, absolute, database, redact, told

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

ARTIFACTS = Path("mlartifacts")  # of the default store
LEDGER = paths.STATE / "published.json"
LOCK = paths.STATE / "publish.lock"
LIVE = paths.STATE / "curves"  # which run the training of a model streams to
LOCK_S = 120.0
SETTLE_S = 60.0
THREAD = "curves of "
BATCH = 800  # metrics in one request; MLflow takes 1,000 items, of which 100 may be parameters and 100 tags
ENVIRONMENT = {  # unless the user has set them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; its own 120 s and 7 retries would hang for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
Outcome = Literal["sent", "already", "waiting"]
_End = Literal["FINISHED", "FAILED"]
OnEpoch = Callable[[int, dict[str, float]], None]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """How many records (runs, artifacts, aliases) went where."""

    sent: int
    already: int
    waiting: int  # their file is not on this machine: `tercet run` restores it
    uri: str  # without credentials


def publish(params: Params) -> Published:
    """Send every record that the tracking server does not have yet, each once, whoever else publishes or was killed.

    Raises:
        TrackingError: the server is away or refuses; what it does not have stays for the next `tercet publish`.
        DataError: the report has not been made.
    """
    uri, everything = tracking_server.uri(), entries.collect(params)
    if not _unknown(uri, everything):
        return Published(0, len(everything), 0, redact(uri))
    settle()
    outcomes: list[Outcome] = []
    with _single_publisher():
        unknown = _unknown(uri, everything)  # another publisher may have been at work
        with told(uri):
            store = _Store(uri, params.name)
            for entry in unknown:
                outcomes.append(store.send(entry))
                if outcomes[-1] != "waiting":
                    _remember(uri, entry)
    sent, waiting = outcomes.count("sent"), outcomes.count("waiting")
    return Published(sent, len(everything) - sent - waiting, waiting, redact(uri))


@contextmanager
def curves(model: str, params: Params) -> Iterator[OnEpoch]:
    """Stream a model's training curves to its run, from a thread of its own: training neither waits nor fails for it.

    Yields a function of the epoch (from 0) and its metrics. What cannot be sent is sent by `publish`, from the model's
    card. The training of a killed run goes on in the same run. The thread ends by itself soon after the training: it is
    no daemon, because a process that dies in the middle of an import may crash.
    """
    feed: queue.SimpleQueue[_Epoch | _End] = queue.SimpleQueue()
    worker = threading.Thread(target=_stream, args=(feed, model, params.name), name=f"{THREAD}{model}")
    worker.start()
    end: _End = "FAILED"
    try:
        yield lambda epoch, metrics: feed.put(_Epoch(epoch, dict(metrics), _now_ms()))
        end = "FINISHED"
    finally:
        feed.put(end)


def settle() -> None:
    """Wait until this process has sent the curves of the trainings that have ended."""
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD):
            thread.join(SETTLE_S)


def ui_command() -> str:
    """The command that opens MLflow's pages, or their address."""
    uri = tracking_server.uri()
    if uri.startswith(("http://", "https://")):
        return redact(uri)
    shown = uri if uri == redact(uri) else '"$MLFLOW_TRACKING_URI"'
    return f"mlflow ui --backend-store-uri {shown}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# What is known without asking


def _unknown(uri: str, everything: Iterable[Entry]) -> list[Entry]:
    file = database(uri)
    known = {} if file and not file.exists() else _ledger().get(redact(uri), {})
    return [entry for entry in everything if known.get(entry.key) != entry.digest]


def _ledger() -> dict[str, dict[str, str]]:
    try:
        ledger: dict[str, dict[str, str]] = json.loads(LEDGER.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # nothing is lost with it: the server knows
        return {}
    return ledger


def _remember(uri: str, entry: Entry) -> None:
    ledger = _ledger()
    ledger.setdefault(redact(uri), {})[entry.key] = entry.digest
    files.write_json(LEDGER, ledger)


@contextmanager
def _single_publisher() -> Iterator[None]:
    from filelock import FileLock, Timeout

    LOCK.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(LOCK, timeout=LOCK_S):
            yield
    except Timeout:
        raise TrackingError(
            f"{LOCK}: held by another publisher for {LOCK_S:.0f} s; try `tercet publish` later"
        ) from None


# The server


def _commit() -> str | None:
    """The commit that is checked out; null outside of git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


class _Store:
    """The experiment and the registered model of one workload on a tracking server."""

    def __init__(self, uri: str, name: str) -> None:
        for variable, value in ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        import mlflow

        address, inherited = absolute(uri), os.environ.pop("MLFLOW_TRACKING_URI", None)
        mlflow.set_tracking_uri(address)  # the registry of a database looks files up through the global address
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # that call sets it too, and it is the user's
        if inherited is not None:
            os.environ["MLFLOW_TRACKING_URI"] = inherited
        self.client = mlflow.MlflowClient(address, os.environ.get("MLFLOW_REGISTRY_URI") or address)
        self.uri, self.name = uri, name
        self.experiment = self._experiment()
        self.commit = _commit()

    def send(self, entry: Entry) -> Outcome:
        """Bring one entry to the server, unless it is there."""
        match entry:
            case Artifact():
                return self._send_artifact(entry)
            case Run():
                return self._send_run(entry)
            case Alias():
                return self._send_alias(entry)

    def live_run(self, model: str, epoch: int) -> str:
        """The run to stream to from `epoch` on: that of the killed training that goes on here, else a new one."""
        token = _live_token(self.uri, self.name, model)
        found = self._find("curve_token", token) if token else None
        if found and found.info.status != "FINISHED":
            if all(step < epoch for _, step in self._logged(found)):
                self.client.update_run(found.info.run_id, status="RUNNING")
                return str(found.info.run_id)
            self.client.set_terminated(found.info.run_id, "KILLED")
        token = uuid.uuid4().hex  # written down first, so that a run that was made is always found again
        files.write_json(LIVE / f"{model}.json", {"uri": redact(self.uri), "experiment": self.name, "token": token})
        tags = {"kind": "model", "curve_token": token}
        run = self.client.create_run(self.experiment, tags=tags, run_name=entries.model_run_name(model))
        self.client.log_param(run.info.run_id, "model", model)
        return str(run.info.run_id)

    def log(
        self,
        run_id: str,
        points: Iterable[Point],
        timestamp_ms: int,
        model_id: str | None = None,
        params: Iterable[tuple[str, str]] = (),
        tags: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Add values to a run in as few requests as can be; `model_id` links them to the file that they are about."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(p.key, p.value, timestamp_ms, p.step, model_id=model_id) for p in points]
        last = len(metrics) - len(metrics) % BATCH
        for start in range(0, last, BATCH):
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])
        self.client.log_batch(
            run_id, metrics[last:], [Param(*param) for param in params], [RunTag(*tag) for tag in tags]
        )

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        location = (ARTIFACTS / self.name).resolve().as_uri() if self.uri == DEFAULT_URI else None
        found = self.client.get_experiment_by_name(self.name)
        try:
            return str(found.experiment_id if found else self.client.create_experiment(self.name, location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self._experiment()  # another process was faster

    def _send_run(self, run: Run) -> Outcome:
        found = self._find("record_digest", run.digest)
        if found and found.info.status == "FINISHED":
            return "already"
        found = found or self._streamed(run)
        if found is None:
            found = self.client.create_run(self.experiment, tags={"record_digest": run.digest}, run_name=run.name)
        run_id, there = found.info.run_id, self._logged(found)
        missing = [point for point in run.points if (point.key, point.step) not in there]
        tags = {**run.tags, "record_digest": run.digest, **({"git_commit": self.commit} if self.commit else {})}
        model_id = self._model_id(run.artifact_sha256)
        self.log(run_id, missing, found.info.start_time, model_id, run.params.items(), tags.items())
        self.client.set_terminated(run_id, "FINISHED")
        return "sent"

    def _streamed(self, run: Run) -> "MlflowRun | None":
        """The run that the training of a model has streamed to, if what it holds is part of the model's card."""
        token = _live_token(self.uri, self.name, run.model) if run.model else None
        found = self._find("curve_token", token) if token else None
        points = {(point.key, point.step): point.value for point in run.points}
        if found and all(points.get(at) == value for at, value in self._logged(found).items()):
            return found
        return None

    def _find(self, tag: str, value: str) -> "MlflowRun | None":
        found = self.client.search_runs([self.experiment], f"tags.{tag} = '{value}'", max_results=1)
        return found[0] if found else None

    def _logged(self, run: "MlflowRun") -> dict[tuple[str, int], float]:
        """The values that a run holds, by metric and step."""
        histories = (self.client.get_metric_history(run.info.run_id, key) for key in run.data.metrics)
        return {(metric.key, metric.step): metric.value for history in histories for metric in history}

    def _send_artifact(self, artifact: Artifact) -> Outcome:
        if self._version(artifact.digest):
            return "already"
        if not artifact.file.exists() or files.sha256(artifact.file) != artifact.digest:
            return "waiting"
        model_id = self._model_id(artifact.digest) or self._create_model(artifact)
        self.client.log_model_artifact(model_id, str(artifact.file))
        self.client.finalize_logged_model(model_id, "READY")
        self._register()
        self.client.create_model_version(
            self.name, source=f"models:/{model_id}", model_id=model_id, tags=artifact.tags, await_creation_for=0
        )
        return "sent"

    def _create_model(self, artifact: Artifact) -> str:
        made = self.client.create_logged_model(
            self.experiment, name=artifact.variant, model_type="tflite", tags=artifact.tags
        )
        return made.model_id

    def _model_id(self, artifact_sha256: str | None) -> str | None:
        if artifact_sha256 is None:
            return None
        found = self.client.search_logged_models([self.experiment], f"tags.artifact_sha256 = '{artifact_sha256}'")
        return found[0].model_id if found else None

    def _register(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _version(self, artifact_sha256: str) -> str | None:
        """The version of the registered model that holds this file."""
        found = self.client.search_model_versions(
            f"name = '{self.name}' and tags.artifact_sha256 = '{artifact_sha256}'"
        )
        return str(found[0].version) if found else None

    def _send_alias(self, alias: Alias) -> Outcome:
        self._register()
        current = self.client.get_registered_model(self.name).aliases.get(alias.name)
        if alias.artifact_sha256 is None:
            if current is None:
                return "already"
            self.client.delete_registered_model_alias(self.name, alias.name)
            return "sent"
        version = self._version(alias.artifact_sha256)
        if version is None:
            return "waiting"
        if str(current) == version:
            return "already"
        self.client.set_registered_model_alias(self.name, alias.name, version)
        return "sent"


# Curves


@dataclass(frozen=True)
class _Epoch:
    epoch: int
    metrics: dict[str, float]
    timestamp_ms: int


def _stream(feed: "queue.SimpleQueue[_Epoch | _End]", model: str, experiment: str) -> None:
    """Send epochs as they come, until the end comes.

    MLflow is imported beside the training but after its first epoch, when nothing else is being imported any more.
    """
    item = feed.get()
    if not isinstance(item, _Epoch):  # nothing was trained
        return
    uri = tracking_server.uri()
    try:
        with told(uri):
            store = _Store(uri, experiment)
            run_id = store.live_run(model, item.epoch)
            while isinstance(item, _Epoch):
                store.log(run_id, entries.curve_points(item.epoch, item.metrics), item.timestamp_ms)
                item = feed.get()
            store.client.set_terminated(run_id, item)
    except TrackingError as error:
        logger.warning("curves of %s: %s", model, error)


def _live_token(uri: str, experiment: str, model: str) -> str | None:
    """What marks the run that the training of `model` on this machine streams to."""
    try:
        live = json.loads((LIVE / f"{model}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    same = isinstance(live, dict) and (live.get("uri"), live.get("experiment")) == (redact(uri), experiment)
    return str(live["token"]) if same else None
