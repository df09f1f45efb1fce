"""What the registry has under an alias: which file is in use."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import files
from tasks.errors import DataError
from tasks.track import database, server
from tasks.track.client import client


@dataclass(frozen=True)
class Version:
    """A version of the registered model, with the LiteRT file of its variant."""

    name: str  # of the model and the version: digits-cnn/3
    tags: Mapping[str, str]  # variant among them
    file: Path
    sha256: str  # of the file
    inputs: dict[str, Any] | None = None  # how its bundle prepares them; null of a file that is in no bundle


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
    """Copy what a version holds into an empty folder: a file alone, or a bundle.

    Raises:
        TrackingError: the server does not answer, or has not all of it.
        DataError: it has no LiteRT file that is the variant's own, as a bundle for another runtime may.
    """
    uri = server.uri()
    with server.told(uri):
        tags = client(uri).get_model_version(model, version).tags
        from mlflow.artifacts import download_artifacts

        download_artifacts(artifact_uri=f"models:/{model}/{version}", dst_path=str(folder))
    bundle = next((path.parent for path in files.below(folder) if path.name == "manifest.json"), folder)
    manifest, prepared = (files.read_json(bundle / name) or {} for name in ("manifest.json", "preprocess.json"))
    wanted = str(tags.get("artifact_sha256") or manifest.get("artifact_sha256"))
    found = next((path for path in files.below(folder) if files.sha256(path) == wanted), None)
    if found is None:
        raise DataError(f"{model}/{version}: it holds no LiteRT file of the variant's own, of the SHA-256 {wanted}")
    return Version(f"{model}/{version}", tags, found, wanted, prepared.get("inputs"))
