"""Stage `fingerprint`: write down what a device's figures hang from, so that a change of it makes them old."""

import json
from pathlib import Path
from typing import Any

from tasks import paths
from tasks.bench import devices
from tasks.files import write_json
from tasks.params import Params


def fingerprint(params: Params, device: str) -> None:  # noqa: ARG001 - every stage has this signature
    """Write `out/fingerprints/<device>.json`, and only where it would say something else than it does.

    Raises:
        ParamsError: there is no such device, or its file is wrong.
    """
    path = paths.fingerprint(device)
    value = devices.fingerprint(devices.load(device))
    if value != _written(path):
        write_json(path, value)


def _written(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # not there, or not whole
        return None
