"""MLflow itself, quiet and quick to give up."""

import os
from typing import TYPE_CHECKING

from tasks import imports
from tasks.track.server import absolute, variable_kept

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENVIRONMENT = {  # unless the user has set them
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds; its own 120 s and 7 retries would hang for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would print the address with its password
}


def import_mlflow() -> None:
    """Import MLflow; in a thread that nobody leaves alone before it is done."""
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    with imports.alone:
        import mlflow  # noqa: F401


def client(uri: str) -> "MlflowClient":
    """A client of the server, or the database, at `uri`."""
    import_mlflow()
    import mlflow

    address = absolute(uri)
    with variable_kept():  # MLflow writes the address into the environment, where the user's is
        mlflow.set_tracking_uri(address)  # the registry of a database looks files up through the global address
    return mlflow.MlflowClient(address, os.environ.get("MLFLOW_REGISTRY_URI") or address)
