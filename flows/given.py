"""What a run is given from outside (data, models, modules, devices), looked at before anything heavy is imported."""

from collections.abc import Iterator

from tasks import paths
from tasks.bench import devices
from tasks.members import SOURCES
from tasks.params import Params, Slim
from tasks.stages import sources


def check(params: Params) -> None:
    """Look whether everything that params.yaml names is where it says.

    Raises:
        DataError, ModelError: something is not; the message has the key, the path, what is wanted there, and where it
            comes from.
        ParamsError: there is no such data set, or no such device in the catalog.
    """
    SOURCES.load(params.prepare.source).check(params.prepare)
    sources.models(params)
    for key, name in _devices(params):
        devices.load(name, f"{paths.PARAMS}: {key}")


def _devices(params: Params) -> Iterator[tuple[str, str]]:
    """Where a device is named, and which."""
    for name in params.benchmark.devices:
        yield "benchmark.devices", name
    for variant, entry in params.compress.items():
        if isinstance(entry, Slim) and entry.device:
            yield f"compress.{variant}.device", entry.device
    for name in params.search.devices if params.search else ():
        yield "search: device", name
