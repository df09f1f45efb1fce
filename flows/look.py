"""What there is to do, before anything heavy is started for it."""

from flows import dvc_bridge
from tasks import paths, probe
from tasks.params import Params


def look(settings: Params) -> set[str]:
    """The names in dvc.yaml of the stages that a run has to look at; none where everything is up to date.

    What the devices' figures hang from is written down anew first, so that DVC sees a machine that has changed.

    Raises:
        TercetError: a device file is wrong, or DVC's own complaint.
    """
    for device in settings.benchmark.devices:
        if paths.fingerprint(device).exists():
            probe.probe(settings, device)
    return dvc_bridge.stale()
