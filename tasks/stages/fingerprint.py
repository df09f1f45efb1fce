"""Stage `fingerprint`: write down what a device's figures hang from, so that a change of it makes them old."""

from tasks import paths
from tasks.bench import devices
from tasks.files import read_json, write_json
from tasks.params import Params


def fingerprint(params: Params, device: str) -> None:  # noqa: ARG001 - every stage has this signature
    """Write `out/fingerprints/<device>.json`, and only where it would say something else than it does.

    Raises:
        ParamsError: there is no such device, or its file is wrong.
    """
    path = paths.fingerprint(device)
    value = devices.fingerprint(devices.load(device))
    if value != read_json(path):
        write_json(path, value)
