"""What there is to do, before anything heavy is started for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from flows import anew, graph, seeds
from flows.part import CONCLUSIONS, Part
from flows.start import dvc_bridge
from tasks.params import Params
from tasks.stages import code, fingerprint, sources

LOOKED_AT = ("code", "sources", "fingerprint")  # stages whose outputs each look writes anew, never taken from a cache


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Attributes:
        stages: to look at, by their names in dvc.yaml.
        again: of these, what is measured again although nothing of it has changed.
    """

    stages: frozenset[str] = frozenset()
    again: frozenset[str] = frozenset()


_known: ContextVar[Work | None] = ContextVar("_known", default=None)


@contextmanager
def known(found: Work) -> Iterator[None]:
    """Spare the flow that is called within the block a look of its own: its parameters stay those of a user."""
    token = _known.set(found)
    try:
        yield
    finally:
        _known.reset(token)


def work(settings: Params, chosen: Part, remeasure: Sequence[str]) -> Work:
    """What a run has to do, unless it is known already.

    Args:
        settings: all of params.yaml.
        chosen: the part of it that is asked for.
        remeasure: which pairs are to be measured again, as `anew.pairs` takes them.

    Raises:
        TercetError: as `look` and `anew.pairs`.
    """
    if (found := _known.get()) is not None:
        return found
    stale = look(settings)
    if chosen.whole and not remeasure:
        return Work(frozenset(stale))
    names = dvc_bridge.Project().names
    again = {names["benchmark", *pair] for pair in anew.pairs(chosen.settings, remeasure)}
    after = {name for words, name in names.items() if words[0] in CONCLUSIONS} if again else set()
    return Work(frozenset(chosen.stages(names, stale | again | after)), frozenset(again))


def look(settings: Params) -> set[str]:
    """The names in dvc.yaml of the stages that a run has to look at; none where everything is up to date.

    What outputs hang from beside parameters (code and libraries, what comes from outside, the devices) is written down
    anew first, so that DVC sees what has changed. Where nothing hangs from that, DVC is told at once.

    Raises:
        TercetError: dvc.yaml lacks something, a device file is wrong, a file is missing, or DVC's own complaint.
    """
    write_down(settings)
    found = dvc_bridge.stale(LOOKED_AT)
    if not found or any(name.partition("@")[0] not in LOOKED_AT for name in found):
        return found
    with dvc_bridge.Project() as project:
        for name in sorted(found):
            project.reproduce(name)
    return set()


def write_down(settings: Params) -> None:
    """Have it in files what outputs hang from beside parameters, where DVC looks; raises what `look` does of it."""
    graph.check()
    seeds.write(settings)
    for kind in sources.KINDS:
        sources.sources(settings, kind)
    code.code(settings)
    for device in settings.benchmark.devices:
        fingerprint.fingerprint(settings, device)
