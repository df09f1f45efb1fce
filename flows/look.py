"""What there is to do, before anything heavy is started for it."""

from flows import dvc_bridge
from tasks import origin, paths, probe
from tasks.params import Params


def look(settings: Params) -> set[str]:
    """The names in dvc.yaml of the stages that a run has to look at; none where everything is up to date.

    What the devices' figures hang from, and what comes from outside, is written down anew first, so that DVC sees a
    machine or a file that has changed.

    Raises:
        TercetError: a device file is wrong, a file is missing, or DVC's own complaint.
    """
    for kind in origin.KINDS:
        if paths.origin(kind).exists():
            origin.origin(settings, kind)
    for device in settings.benchmark.devices:
        if paths.fingerprint(device).exists():
            probe.probe(settings, device)
    return dvc_bridge.stale()
