"""The services that are programs of this very environment: MLflow's server, and Prefect's three processes."""

import os
import sys
import sysconfig
from pathlib import Path

from tasks.services import buckets, postgres, redis, s3
from tasks.services.http import answers
from tasks.services.place import HOST, Place
from tasks.services.processes import Service

POOL = "local"
HEARTBEAT_S = 30  # the least that Prefect takes; what ends dead runs waits for three of them
THEIRS = ("PREFECT_", "MLFLOW_", "AWS_", "PYTHON")  # variables that would have a service be another one
FLOWS_LIMIT = 1  # of a worker: the outputs of a project are one set


def mlflow(place: Place) -> Service:
    """MLflow's server; clients send it their artifacts, so they need no key of the store."""
    words = ["server", "--host", HOST, "--port", str(place.ports["mlflow"]), "--workers", "1"]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": postgres.url(place, "psycopg2", "mlflow"),
        "MLFLOW_S3_ENDPOINT_URL": s3.url(place),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "AWS_ACCESS_KEY_ID": place.secrets["s3-key"],
        "AWS_SECRET_ACCESS_KEY": place.secrets["s3-secret"],
        "AWS_DEFAULT_REGION": buckets.REGION,
    }
    return _service(
        place, "mlflow", ["mlflow", *words, "--artifacts-destination", "s3://mlflow"], environment,
        f"http://{place.address('mlflow')}/health",
    )  # fmt: skip


def server(place: Place) -> Service:
    """Prefect's API and its pages, alone."""
    words = ["server", "start", "--no-services", "--host", HOST, "--port", str(place.ports["prefect"])]
    return _service(place, "prefect", ["prefect", *words], _prefect(place), f"{_api(place)}/health")


def background(place: Place) -> Service:
    """What Prefect does by itself: schedules, late runs, automations. It listens nowhere, so it is ready at once."""
    return _service(place, "background", ["prefect", "server", "services", "start"], _prefect(place))


def worker(place: Place) -> Service:
    """What starts the runs of this project."""
    words = ["worker", "start", "--pool", POOL, "--type", "process", "--with-healthcheck"]
    environment = clients(place) | {
        "PREFECT_WORKER_WEBSERVER_HOST": HOST,
        "PREFECT_WORKER_WEBSERVER_PORT": str(place.ports["worker"]),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_HOME": str(place.home / "worker" / "home"),
        "TERCET_HOME": str(Path.cwd()),
    }
    health = f"http://{place.address('worker')}/health"
    return _service(place, "worker", ["prefect", *words, "--limit", str(FLOWS_LIMIT)], environment, health)


def clients(place: Place) -> dict[str, str]:
    """The variables by which a command finds the services."""
    return {
        "PREFECT_API_URL": _api(place),
        "PREFECT_API_AUTH_STRING": f"tercet:{place.secrets['prefect']}",
        "MLFLOW_TRACKING_URI": f"http://{place.address('mlflow')}",
    }


def _api(place: Place) -> str:
    return f"http://{place.address('prefect')}/api"


def _prefect(place: Place) -> dict[str, str]:
    """What the processes of the server have in common: the database, and Redis for all that they tell each other."""
    return clients(place) | {
        "PREFECT_HOME": str(place.home / "prefect" / "home"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_API_AUTH_STRING": f"tercet:{place.secrets['prefect']}",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.url(place, "asyncpg", "prefect"),
        "PREFECT_SERVER_DOCKET_URL": redis.url(place, 1),
        "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
        "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
        "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
        "PREFECT_REDIS_MESSAGING_HOST": HOST,
        "PREFECT_REDIS_MESSAGING_PORT": str(place.ports["redis"]),
        "PREFECT_REDIS_MESSAGING_PASSWORD": place.secrets["redis"],
        "PREFECT_REDIS_MESSAGING_DB": "0",
    }


def _service(
    place: Place, name: str, words: list[str], environment: dict[str, str], health: str | None = None
) -> Service:
    ours = {key: value for key, value in os.environ.items() if not key.startswith(THEIRS)}
    path = f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', os.defpath)}"  # for what they start by its name
    return Service(
        name,
        (sys.executable, "-P", "-m", *words),
        place.home / name,
        ready=lambda: health is None or answers(health),
        environment=ours | {"PATH": path, "PYTHONSAFEPATH": "1", "DO_NOT_TRACK": "1"} | environment,
    )
