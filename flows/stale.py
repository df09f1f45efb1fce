"""What there is to do, before anything heavy is started for it."""

from flows import graph
from flows.start import dvc_bridge
from tasks.params import Params
from tasks.stages import code, fingerprint, sources

LOOKED_AT = ("code", "sources", "fingerprint")  # stages whose outputs each look writes anew, never taken from a cache


def look(settings: Params) -> set[str]:
    """The names in dvc.yaml of the stages that a run has to look at; none where everything is up to date.

    What outputs hang from beside parameters (code and libraries, what comes from outside, the devices) is written down
    anew first, so that DVC sees what has changed. Where nothing hangs from that, DVC is told at once.

    Raises:
        TercetError: dvc.yaml lacks something, a device file is wrong, a file is missing, or DVC's own complaint.
    """
    graph.check()
    for kind in sources.KINDS:
        sources.sources(settings, kind)
    code.code(settings)
    for device in settings.benchmark.devices:
        fingerprint.fingerprint(settings, device)
    found = dvc_bridge.stale(LOOKED_AT)
    if not found or any(name.partition("@")[0] not in LOOKED_AT for name in found):
        return found
    with dvc_bridge.Project() as project:
        for name in sorted(found):
            project.reproduce(name)
    return set()
