"""Where the services of a project lie, at which ports they listen, and what opens them."""

import json
import secrets
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tasks import files, paths
from tasks.errors import TercetError

HOST = "127.0.0.1"
HOME = paths.STATE / "services"
WISHED = {"prefect": 4200, "mlflow": 5000}  # their own defaults; where these are taken, free ones as for the others
LISTENING = (
    "postgres", "redis", "s3", "s3-grpc", "master", "master-grpc", "volume", "volume-grpc", "filer", "filer-grpc",
    "prefect", "mlflow", "worker",
)  # fmt: skip
SECRETS = ("postgres", "redis", "s3-key", "s3-secret", "prefect", "mlflow", "mlflow-cookies")
SECRET_BYTES = 24


@dataclass(frozen=True)
class Place:
    """The services' folder, and what is chosen once and kept: a port and a secret by name."""

    home: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str]

    def address(self, name: str) -> str:
        """Host and port of what listens under that name."""
        return f"{HOST}:{self.ports[name]}"


def made() -> Place:
    """The project's place; ports and secrets are chosen the first time."""
    home = HOME.absolute()
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o711)  # the database's user passes through; secrets lie in files of their own modes
    files.once(home / "ports.json", lambda path: files.write_text(path, json.dumps(_ports(), indent=1)))
    files.once(home / "secrets.json", lambda path: private(path, json.dumps(_secrets(), indent=1)))
    with files.locked(home / "secrets"):
        found = files.read_json(home / "secrets.json")
        if isinstance(found, dict) and found and not set(SECRETS) <= set(found):  # of a version with fewer services
            private(home / "secrets.json", json.dumps(_secrets() | found, indent=1))
    return known()


def known() -> Place:
    """The project's place.

    Raises:
        TercetError: there is none yet, or a file of it is damaged.
    """
    home = HOME.absolute()
    found = [files.read_json(home / f"{name}.json") for name in ("ports", "secrets")]
    for names, values, file in zip((LISTENING, SECRETS), found, ("ports", "secrets"), strict=True):
        if not isinstance(values, dict) or not set(names) <= set(values):
            raise TercetError(f"{HOME}/{file}.json: not there, or not whole; `tercet up` makes it where it is absent")
    return Place(home, *found)


def moved(place: Place, idle: Iterable[str]) -> Place:
    """The place, with another port for each of these at which somebody else listens by now; it is kept.

    Args:
        place: as it was chosen.
        idle: names of ports at which nothing of the project listens.
    """
    taken = [name for name in idle if not _is_free(place.ports[name])]
    if not taken:
        return place
    others = _ports()
    ports = {**place.ports, **{name: others[name] for name in taken}}
    files.write_text(place.home / "ports.json", json.dumps(ports, indent=1))
    return replace(place, ports=ports)


def _is_free(port: int) -> bool:
    with socket.socket() as each:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            each.bind((HOST, port))
        except OSError:
            return False
    return True


def private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read."""
    with files.replaced(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(text, encoding="utf-8")


def _ports() -> dict[str, int]:
    with_socket = {name: socket.socket() for name in LISTENING}  # open together, so no two are alike
    try:
        for name, each in with_socket.items():
            _bind(each, WISHED.get(name, 0))
        return {name: int(each.getsockname()[1]) for name, each in with_socket.items()}
    finally:
        for each in with_socket.values():
            each.close()


def _bind(each: socket.socket, wished: int) -> None:
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        each.bind((HOST, wished))
    except OSError:
        each.bind((HOST, 0))


def _secrets() -> dict[str, str]:
    return {name: secrets.token_urlsafe(SECRET_BYTES) for name in SECRETS}
