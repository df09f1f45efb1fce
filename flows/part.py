"""A part of a run: some variants and devices, with what these need and nothing else."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tasks.errors import WordsError, suggest
from tasks.params import Params
from tasks.params.seeds import references, replicas

COMMON = ("code", "sources", "prepare", "train")  # whatever the part
CONCLUSIONS = ("report", "bundle")  # from all that is measured: no part has them


@dataclass(frozen=True)
class Part:
    """What params.yaml asks for, or less of it.

    Attributes:
        settings: with the variants and devices of the part alone, the reference among them.
        whole: nothing was left out.
    """

    settings: Params
    whole: bool

    def stages(self, names: Mapping[tuple[str, ...], str], stale: Collection[str]) -> set[str]:
        """Which of the stages to look at are of the part.

        Args:
            names: the name in dvc.yaml by a stage's words, such as ("benchmark", "int8", "host-cpu").
            stale: those to look at, by these names.
        """
        if self.whole:
            return set(stale)
        models = _needed(self.settings, (entry.model for entry in self.settings.quantize.values()))
        known = {*self.settings.quantize, *models, *self.settings.benchmark.devices}
        return {name for words, name in names.items() if name in stale and _is_of(known, *words)}


def _is_of(known: Collection[str], stage: str, *keys: str) -> bool:
    """Whether a stage is common to all parts, or all that it is fanned out over is known."""
    if stage in CONCLUSIONS:
        return False
    common = stage in COMMON and not (stage == "train" and keys)  # the training of a further seed is not
    return common or (bool(keys) and all(key in known for key in keys))


def part(settings: Params, variants: Sequence[str], devices: Sequence[str]) -> Part:
    """Choose.

    Args:
        settings: of the project.
        variants: by their names in the section `quantize`, for all seeds, or by that of one seed; none: all.
        devices: by their names in `benchmark.devices`; none: all.

    Raises:
        WordsError: params.yaml has no such variant or device.
    """
    if not variants and not devices:
        return Part(settings, whole=True)
    _known("variant", variants, settings.quantize)
    _known("device", devices, settings.benchmark.devices)
    again, against = replicas(settings), references(settings)
    asked = set(variants or settings.quantize)
    named = {name for name in settings.quantize if name in asked or again.get(name, ("", 0))[0] in asked}
    named |= {settings.benchmark.reference, *(against[name] for name in named)}
    quantize = {name: entry for name, entry in settings.quantize.items() if name in named}
    needed = _needed(settings, (entry.model for entry in quantize.values()))
    chosen = tuple(name for name in settings.benchmark.devices if not devices or name in devices)
    changes = {
        "quantize": quantize,
        "compress": {name: entry for name, entry in settings.compress.items() if name in needed},
        "yardstick": {},
        "benchmark": settings.benchmark.model_copy(update={"devices": chosen}),
    }
    return Part(settings.model_copy(update=changes), whole=False)


def _known(what: str, received: Iterable[str], allowed: Collection[str]) -> None:
    for name in received:
        if name not in allowed:
            raise WordsError(f"--{what}: received {name!r}; {suggest(name, allowed)}")


def _needed(settings: Params, models: Iterable[str]) -> set[str]:
    """The models that some are made from."""
    found: set[str] = set()
    for name in models:
        found |= {name, *settings.ancestors(name)}
    return found
