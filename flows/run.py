"""`tercet run`: look whether there is anything to do, and only then start what does it."""

import logging
import sys
import threading
import time

from tasks import params, paths
from tasks.__main__ import quiet_libraries
from tasks.errors import TercetError, TrackingError

TENSORFLOW = ("train", "compress@", "quantize@")  # names of the stages that import it


def run() -> int:
    """Bring the project up to date; print the comparison and where the report is.

    Returns the exit code: 0, or 1 where stages failed; the comparison then shows what there is.
    """
    quiet_libraries()
    _log_to_terminal()
    start = time.monotonic()
    settings = params.load()
    _check_devices(settings)
    failure = None
    if stale := _stale(settings):
        print(f"{len(stale)} stages to look at", file=sys.stderr)
        if any(name.startswith(TENSORFLOW) for name in stale):
            # Prefect's server takes as long to come up: let the two overlap
            threading.Thread(target=_import_tensorflow, daemon=True).start()
        failure = _flow()
    else:
        _publish(settings)
        print("everything is up to date: no stage to run", file=sys.stderr)
    if (paths.REPORT / "comparison.json").exists():
        from flows.show import compare

        compare()
    print(f"took {time.monotonic() - start:.1f} s", file=sys.stderr)
    if failure:
        print(f"tercet: {failure}", file=sys.stderr)
    return 1 if failure else 0


def _check_devices(settings: params.Params) -> None:
    from tasks import devices

    for name in settings.benchmark.devices:
        devices.load(name)


def _stale(settings: params.Params) -> set[str]:
    from flows import dvc_bridge
    from tasks import probe

    for device in settings.benchmark.devices:
        if paths.fingerprint(device).exists():
            probe.probe(settings, device)
    return dvc_bridge.stale()


def _import_tensorflow() -> None:
    import tensorflow_model_optimization  # noqa: F401


def _flow() -> TercetError | None:
    from flows.pipeline import pipeline

    try:
        pipeline()
    except TercetError as error:
        return error
    return None


def _publish(settings: params.Params) -> None:
    from tasks import track

    try:
        track.publish(settings)
    except TrackingError as error:
        print(f"tercet: {error}", file=sys.stderr)


def _log_to_terminal() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name in ("tasks", "flows"):
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).propagate = False  # Prefect's own handler would say it once more
