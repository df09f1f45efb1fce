"""The services that are programs of this very environment: MLflow's server, and Prefect's three processes."""

import os
import sys
import sysconfig
from pathlib import Path

from tasks.services import buckets, postgres, redis, s3
from tasks.services.http import answers
from tasks.services.place import HOST, Place, private
from tasks.services.processes import Service

POOL = "local"
USER = "tercet"  # whom Prefect and MLflow know
RETRIED = "500"  # Prefect's answer while its database is away, which its clients else take for the last word
HEARTBEAT_S = 30  # the least that Prefect takes; what ends dead runs waits for three of them
THEIRS = ("PREFECT_", "MLFLOW_", "AWS_", "PYTHON")  # variables that would have a service be another one
FLOWS_LIMIT = 1  # of a worker: the outputs of a project are one set
HELD_S = 30  # for which a process has a message to itself; Prefect's own 5 s are less than it may wait with one, 8
CHECKED_S = 60  # for which MLflow remembers a password that was right: to check one takes it longer than most answers


def prepare(place: Place) -> None:
    """Write where MLflow keeps its users, the database's password included: a file that its owner alone reads."""
    folder = place.home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "default_permission": "READ", "auth_cache_ttl_seconds": CHECKED_S,
        "database_uri": postgres.url(place, "psycopg2", "mlflow").replace("%", "%%"),
    }  # fmt: skip
    lines = ["[mlflow]", *(f"{name} = {value}" for name, value in settings.items()), ""]
    private(_users(place), "\n".join(lines))


def _users(place: Place) -> Path:
    return place.home / "mlflow" / "users.ini"


def mlflow(place: Place) -> Service:
    """MLflow's server; clients send it their artifacts, so they need no key of the store."""
    words = ["server", "--host", HOST, "--port", str(place.ports["mlflow"]), "--workers", "1"]
    words += ["--app-name", "basic-auth"]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": postgres.url(place, "psycopg2", "mlflow"),
        "MLFLOW_S3_ENDPOINT_URL": s3.url(place),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_CONFIG_PATH": str(_users(place)),
        "MLFLOW_AUTH_ADMIN_USERNAME": USER,
        "MLFLOW_AUTH_ADMIN_PASSWORD": place.secrets["mlflow"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": place.secrets["mlflow-cookies"],
        "AWS_ACCESS_KEY_ID": place.secrets["s3-key"],
        "AWS_SECRET_ACCESS_KEY": place.secrets["s3-secret"],
        "AWS_DEFAULT_REGION": buckets.REGION,
    }
    return _service(
        place, "mlflow", ["mlflow", *words, "--artifacts-destination", "s3://mlflow"], environment,
        f"http://{place.address('mlflow')}/api/2.0/mlflow/experiments/get?experiment_id=0",
        f"{USER}:{place.secrets['mlflow']}",
    )  # fmt: skip


def server(place: Place) -> Service:
    """Prefect's API and its pages, alone."""
    words = ["server", "start", "--no-services", "--host", HOST, "--port", str(place.ports["prefect"])]
    asked, user = f"{_api(place)}/admin/version", f"{USER}:{place.secrets['prefect']}"
    return _service(place, "prefect", ["prefect", *words], _prefect(place), asked, user)


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
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": RETRIED,
        "PREFECT_HOME": str(place.home / "worker" / "home"),
        "TERCET_HOME": str(Path.cwd()),
    }
    health = f"http://{place.address('worker')}/health"
    return _service(place, "worker", ["prefect", *words, "--limit", str(FLOWS_LIMIT)], environment, health)


def clients(place: Place) -> dict[str, str]:
    """The variables by which a command finds the services."""
    return {
        "PREFECT_API_URL": _api(place),
        "PREFECT_API_AUTH_STRING": f"{USER}:{place.secrets['prefect']}",
        "MLFLOW_TRACKING_URI": f"http://{place.address('mlflow')}",
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD": place.secrets["mlflow"],
    }


def _api(place: Place) -> str:
    return f"http://{place.address('prefect')}/api"


def _prefect(place: Place) -> dict[str, str]:
    """What the processes of the server have in common: the database, and Redis for all that they tell each other."""
    return clients(place) | {
        "PREFECT_HOME": str(place.home / "prefect" / "home"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": "/api",  # at whichever address a browser has found the page
        "PREFECT_SERVER_API_AUTH_STRING": f"{USER}:{place.secrets['prefect']}",
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
        "PREFECT_REDIS_MESSAGING_CONSUMER_MIN_IDLE_TIME": str(HELD_S),
    }


def _service(
    place: Place,
    name: str,
    words: list[str],
    environment: dict[str, str],
    health: str | None = None,
    user: str | None = None,
) -> Service:
    """Of what asks for a password, `health` is a page that wants it: another program at that port does not know it."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith(THEIRS)}
    path = f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', os.defpath)}"  # for what they start by its name
    return Service(
        name,
        (sys.executable, "-P", "-m", *words),
        place.home / name,
        ready=lambda: health is None or answers(health, user),
        # COLUMNS: of the lines that they print, the last is told where one does not start
        environment=ours | {"PATH": path, "PYTHONSAFEPATH": "1", "DO_NOT_TRACK": "1", "COLUMNS": "200"} | environment,
    )
