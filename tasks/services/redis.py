"""Redis: what several services of Prefect tell each other, and their leases; nothing in it outlives them."""

import os
import shutil
import socket

from tasks.errors import TercetError
from tasks.services.place import HOST, Place, private
from tasks.services.processes import Service

ANSWER_S = 2.0


def service(place: Place) -> Service:
    """How it is run."""
    folder = place.home / "redis"
    found = shutil.which("redis-server", path=f"{os.environ.get('PATH', os.defpath)}:/usr/bin:/usr/sbin")
    if found is None:
        raise TercetError("Redis is not installed: `sudo apt-get install redis-server`, or as this system does")
    return Service(
        "redis", (found, str(folder / "redis.conf")), folder, ready=lambda: _answers(place), environment=os.environ
    )


def prepare(place: Place) -> None:
    """Write what it is told, the password included: a file that its owner alone reads."""
    folder = place.home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind": HOST, "port": place.ports["redis"], "requirepass": place.secrets["redis"], "dir": f'"{folder}"',
        "appendonly": "yes", "daemonize": "no", "maxmemory-policy": "noeviction",
    }  # fmt: skip
    private(folder / "redis.conf", "".join(f"{name} {value}\n" for name, value in settings.items()))


def url(place: Place, database: int) -> str:
    """The address of one of its databases, the password in it."""
    return f"redis://:{place.secrets['redis']}@{place.address('redis')}/{database}"


def _answers(place: Place) -> bool:
    asked = f"AUTH {place.secrets['redis']}\r\nPING\r\n".encode()
    try:
        with socket.create_connection((HOST, place.ports["redis"]), ANSWER_S) as connection:
            connection.settimeout(ANSWER_S)
            connection.sendall(asked)
            said = b""
            while said.count(b"\r\n") < 2 and (more := connection.recv(64)):
                said += more
    except OSError:
        return False
    return said == b"+OK\r\n+PONG\r\n"
