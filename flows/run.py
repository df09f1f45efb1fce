"""`tercet run`: look whether there is anything to do, and only then start what does it."""

import logging
import sys
import threading
import time

from tasks import fit, params, paths
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
        failure = _flow(trains=any(name.startswith(TENSORFLOW) for name in stale))
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


def _flow(*, trains: bool) -> TercetError | None:
    from flows.pipeline import pipeline

    if trains:
        # while Prefect's server comes up in a process of its own, TensorFlow is imported in this one
        threading.Thread(target=fit.import_tensorflow, daemon=True).start()
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
