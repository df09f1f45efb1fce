"""What the registry has under an alias: which file is in use."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks import files
from tasks.errors import DataError
from tasks.track import database, server
from tasks.track.client import client


@dataclass(frozen=True)
class Version:
    """A version of the registered model, with its file."""

    name: str  # of the model and the version: digits-cnn/3
    tags: Mapping[str, str]  # variant, model, scheme, artifact_sha256 among them
    file: Path


def aliases(model: str) -> dict[str, str]:
    """The aliases of a registered model, with their versions; none where there is no such model, or no store.

    Raises:
        TrackingError: the server does not answer.
    """
    uri = server.uri()
    file = server.database(uri)
    if file is not None and not server.there(file):  # MLflow would make one
        return {}
    with server.told(uri):
        database.ready(uri)
        found = client(uri).search_registered_models(f"name = '{model}'")
        return {str(alias): str(version) for each in found for alias, version in each.aliases.items()}


def fetch(model: str, version: str, folder: Path) -> Version:
    """Copy the file of a version into an empty folder.

    Raises:
        TrackingError: the server does not answer, or has not all of it.
        DataError: what it has is not the file that the version is of.
    """
    uri = server.uri()
    with server.told(uri):
        tags = client(uri).get_model_version(model, version).tags
        from mlflow.artifacts import download_artifacts

        download_artifacts(artifact_uri=f"models:/{model}/{version}", dst_path=str(folder))
    wanted = tags.get("artifact_sha256")
    found = next((path for path in files.below(folder) if files.sha256(path) == wanted), None)
    if found is None:
        raise DataError(f"{model}/{version}: no file there has the SHA-256 {wanted} that the version is tagged with")
    return Version(f"{model}/{version}", tags, found)
