"""The experiment and the registered model of one workload on a tracking server."""

import json
import shlex
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from tasks import files, paths, records, redact, revision
from tasks.errors import TrackingError
from tasks.records import Evaluation
from tasks.track import confusion, contents, database, ledger, saved
from tasks.track.client import client
from tasks.track.entries import Alias, Artifact, Entry, Point, Report, Run
from tasks.track.server import DEFAULT_URI
from tasks.track.views import TAG

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.entities.model_registry import ModelVersion

LIVE = paths.STATE / "curves"  # which run the training of a model streams to
BATCH, PARAMS = 800, 100  # in one request; MLflow takes 1,000 items, of which 100 may be parameters and 100 tags
EXPERIMENT = {"mlflow.experimentKind": "custom_model_development"}  # MLflow's pages open on traces without it
NOTE = "mlflow.note.content"  # a run's description
DIGEST, SUPERSEDED = "record_digest", "superseded"  # tags of runs
Outcome = Literal["sent", "already", "waiting"]


def _write_report(report: Report, folder: Path) -> None:
    for file in report.files:
        shutil.copyfile(file, folder / file.name)
    for variant, path in report.evaluations.items():
        evaluation = records.read(Evaluation, path)
        if sample := evaluation.sample:
            files.write_text(folder / contents.SAMPLES / f"{variant}.txt", f"{sample.before}|{sample.text}\n")
        if evaluation.confusion:
            files.write_json(folder / "confusion" / f"{variant}.json", confusion.data(evaluation))
            files.write_text(folder / "confusion" / f"{variant}.html", confusion.page(evaluation))


class Store:
    """The experiment and the registered model of one workload on a tracking server."""

    def __init__(self, uri: str, name: str) -> None:
        database.ready(uri)
        self.client = client(uri)
        self.uri, self.name = uri, name
        self._models: dict[str, str] = {}  # files by their SHA-256
        self.experiment = self._experiment()
        self.commit = revision.commit()

    def send(self, entry: Entry) -> Outcome:
        """Bring one entry to the server, unless it is there."""
        match entry:
            case Run():
                return self._send_run(entry)
            case Report():
                return self._send_report(entry)
            case Artifact():
                return self._send_artifact(entry)
            case Alias():
                return self._send_alias(entry)

    def withdraw(self, key: str, digest: str) -> None:
        """Take back what was sent of a record: say of its run that it tells what was, or take its alias away.

        An alias that names another file than was sent is another project's by now, and stays.
        """
        if found := self._find(DIGEST, digest):
            self.client.set_tag(found.info.run_id, SUPERSEDED, "true")
        name = key.removeprefix(f"{self.name}: ")
        if contents.is_alias(name) and (version := self._aliases().get(name)):
            tags = self.client.get_model_version(self.name, version).tags
            if Alias(key, name, tags.get("artifact_sha256")).digest == digest:
                self.client.delete_registered_model_alias(self.name, name)

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
        files.write_json(
            LIVE / f"{model}.json", {"uri": redact.shown(self.uri), "experiment": self.name, "token": token}
        )
        tags = {"kind": "model", "curve_token": token}
        run = self.client.create_run(self.experiment, tags=tags, run_name=contents.model_run_name(model))
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
        named = [Param(*param) for param in params]
        for start in range(0, len(metrics), BATCH)[:-1]:
            self.client.log_batch(run_id, metrics=metrics[start : start + BATCH])
        for start in range(0, len(named), PARAMS)[:-1]:
            self.client.log_batch(run_id, params=named[start : start + PARAMS])
        self.client.log_batch(
            run_id,
            metrics[(len(metrics) - 1) // BATCH * BATCH :] if metrics else [],
            named[(len(named) - 1) // PARAMS * PARAMS :] if named else [],
            [RunTag(*tag) for tag in tags],
        )

    def log_texts(self, run_id: str, folder: Path) -> None:
        """Add the texts of a folder to a run, in whose page they can be read; those that are there are replaced."""
        self.client.log_artifacts(run_id, str(folder), contents.SAMPLES)

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(self.name)
        if found and found.lifecycle_stage == "deleted":
            raise TrackingError(self._deleted(str(found.experiment_id)))
        try:
            made = str(found.experiment_id) if found else self._new_experiment()
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self._experiment()  # another process was faster
        for key, value in EXPERIMENT.items():
            if found and key not in found.tags:
                self.client.set_experiment_tag(made, key, value)
        return made

    def _new_experiment(self) -> str:
        """Make it; it has nothing, whatever the ledger knows of one that was deleted for good, or has another name now.

        Raises:
            MlflowException: it is there.
        """
        location = database.location(self.name) if self.uri == DEFAULT_URI else None
        made = str(self.client.create_experiment(self.name, location, EXPERIMENT))
        ledger.forget(self.uri)
        return made

    def _deleted(self, number: str) -> str:
        shown = redact.shown(self.uri)
        return (
            f"tracking server {shown}: the experiment {self.name!r} was deleted there: `MLFLOW_TRACKING_URI="
            f"{shlex.quote(shown)} mlflow experiments restore -x {number}` brings it back; with another `name` in "
            f"{paths.PARAMS} there is a new one"
        )

    def _send_run(self, run: Run) -> Outcome:
        runs = self._runs(run.name)
        found = next((each for each in runs if each.data.tags.get(DIGEST) == run.digest), None)
        if found and found.info.status == "FINISHED":
            self._supersede(runs, found)
            return "already"
        found = found or self._streamed(run) or self._create(run)
        run_id, there = found.info.run_id, self._logged(found)
        missing = [point for point in run.points if (point.key, point.step) not in there]
        model_id = self._link(found, run) if run.artifact_sha256 else None
        self._add_data(found, run)
        if run.texts:
            self.log_texts(run_id, run.texts)
        self.log(run_id, missing, found.info.start_time, model_id, run.params.items(), self._lacks(found, run).items())
        self.client.set_terminated(run_id, "FINISHED", run.ended_ms)
        self._supersede(runs, found)
        return "sent"

    def _send_report(self, report: Report) -> Outcome:
        runs = self._runs(report.name)
        found = next((each for each in runs if each.data.tags.get(DIGEST) == report.digest), None)
        outcome: Outcome = "already"
        if found is None or found.info.status != "FINISHED":
            found, outcome = found or self._create(report), "sent"
            with TemporaryDirectory(prefix="tercet-report-") as folder:
                _write_report(report, Path(folder))
                self.client.log_artifacts(found.info.run_id, folder)
            self._save_views(report, found)
            self.client.set_terminated(found.info.run_id, "FINISHED")
        self._supersede(runs, found)
        return outcome

    def _save_views(self, report: Report, found: "MlflowRun") -> None:
        """Save the views in the experiment, and say in the run's description where they are."""
        for view in report.views:
            self.client.set_experiment_tag(self.experiment, f"{TAG}{view.key}", view.state)
        links = "\n".join(f"- [{view.title}]({view.address(self.experiment)})" for view in report.views)
        if links:
            self.client.set_tag(found.info.run_id, NOTE, f"`index.html` below is the report. Saved views:\n\n{links}")
        saved.keep(self.uri, {view.title: view.address(self.experiment) for view in report.views})

    def _runs(self, name: str) -> "list[MlflowRun]":
        """All runs that describe the same thing, now or earlier, and the one that a training of it streams to."""
        return list(self.client.search_runs([self.experiment], f"attributes.run_name = '{name}'"))

    def _create(self, entry: Run | Report) -> "MlflowRun":
        began_ms = entry.began_ms if isinstance(entry, Run) else None
        return self.client.create_run(self.experiment, began_ms, self._tags(entry), entry.name)

    def _lacks(self, found: "MlflowRun", run: Run) -> dict[str, str]:
        """The tags that a run does not have: all, if it began as the stream of a training."""
        return {} if DIGEST in found.data.tags else self._tags(run)

    def _tags(self, entry: Run | Report) -> dict[str, str]:
        commit = {"git_commit": self.commit} if self.commit else {}
        return {**entry.tags, **commit, DIGEST: entry.digest, SUPERSEDED: "false"}

    def _supersede(self, runs: "Iterable[MlflowRun]", current: "MlflowRun") -> None:
        """Tag the runs that say what was, and the one that says what is, which may have been superseded meanwhile."""
        for run in runs:
            own = run.info.run_id == current.info.run_id
            if own and run.data.tags.get(SUPERSEDED) == "true":
                self.client.set_tag(run.info.run_id, SUPERSEDED, "false")
            if not own and DIGEST in run.data.tags and run.data.tags.get(SUPERSEDED) != "true":
                self.client.set_tag(run.info.run_id, SUPERSEDED, "true")

    def _link(self, found: "MlflowRun", run: Run) -> str:
        """Name the file that a run is about as its output; returns the file's number."""
        from mlflow.entities import LoggedModelOutput

        model_id = self._model_id(run.artifact_sha256)
        if model_id is None:
            named = {name: run.params[name] for name in ("variant", "model", "scheme")}
            model_id = self._create_model({**named, "artifact_sha256": str(run.artifact_sha256)}, found.info.run_id)
        if model_id not in {output.model_id for output in (found.outputs.model_outputs if found.outputs else ())}:
            self.client.log_outputs(found.info.run_id, [LoggedModelOutput(model_id, step=0)])
        return model_id

    def _add_data(self, found: "MlflowRun", run: Run) -> None:
        from mlflow.entities import Dataset, DatasetInput

        if run.data and not (found.inputs and found.inputs.dataset_inputs):
            given = Dataset(run.data.name, run.data.digest, "local", run.data.origin)
            self.client.log_inputs(found.info.run_id, [DatasetInput(given)])

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
        version = self._version(artifact.sha256)
        if version:
            if version.description == artifact.description:
                return "already"
            self.client.update_model_version(self.name, version.version, artifact.description)
            return "sent"
        if not artifact.file.exists() or files.sha256(artifact.file) != artifact.sha256:
            return "waiting"
        model_id = self._model_id(artifact.sha256) or self._create_model(artifact.tags)
        self.client.log_model_artifact(model_id, str(artifact.file))
        made = self.client.finalize_logged_model(model_id, "READY")
        self.register()
        self.client.create_model_version(
            self.name,
            source=f"models:/{model_id}",
            run_id=made.source_run_id,
            model_id=model_id,
            tags=artifact.tags,
            description=artifact.description,
            await_creation_for=0,
        )
        return "sent"

    def _create_model(self, tags: dict[str, str], run_id: str | None = None) -> str:
        """Announce a file: runs can be about it before it is here."""
        made = self.client.create_logged_model(
            self.experiment, name=tags["variant"], source_run_id=run_id, model_type="tflite", tags=tags
        )
        self._models[tags["artifact_sha256"]] = str(made.model_id)
        return str(made.model_id)

    def _model_id(self, artifact_sha256: str | None) -> str | None:
        if artifact_sha256 is None:
            return None
        if artifact_sha256 not in self._models:
            found = self.client.search_logged_models([self.experiment], f"tags.artifact_sha256 = '{artifact_sha256}'")
            if not found:
                return None
            self._models[artifact_sha256] = str(found[0].model_id)
        return self._models[artifact_sha256]

    def register(self) -> None:
        """Make the registered model, unless it is there."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _aliases(self) -> dict[str, str]:
        """Those of the registered model, with their versions."""
        found = self.client.search_registered_models(f"name = '{self.name}'")
        return {str(name): str(version) for each in found for name, version in each.aliases.items()}

    def _version(self, artifact_sha256: str) -> "ModelVersion | None":
        """The version of the registered model that holds this file."""
        found = self.client.search_model_versions(
            f"name = '{self.name}' and tags.artifact_sha256 = '{artifact_sha256}'"
        )
        return found[0] if found else None

    def _send_alias(self, alias: Alias) -> Outcome:
        self.register()
        current = self._aliases().get(alias.name)
        if alias.artifact_sha256 is None:
            if current is None:
                return "already"
            self.client.delete_registered_model_alias(self.name, alias.name)
            return "sent"
        version = self._version(alias.artifact_sha256)
        if version is None:
            return "waiting"
        if current == str(version.version):
            return "already"
        self.client.set_registered_model_alias(self.name, alias.name, version.version)
        return "sent"


def _live_token(uri: str, experiment: str, model: str) -> str | None:
    """What marks the run that the training of `model` on this machine streams to."""
    try:
        live = json.loads((LIVE / f"{model}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    same = isinstance(live, dict) and (live.get("uri"), live.get("experiment")) == (redact.shown(uri), experiment)
    return str(live["token"]) if same else None
