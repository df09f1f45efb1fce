"""The space of a search as named choices, and what one point of it stands for: the entries of params.yaml.

The space is the same for every trial, whatever its chain: what a chain has no use for is drawn and not looked at. So
crossover, and a model of how choices act together, have all trials to learn from.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.formats.schemes import SCHEMES
from tasks.members import METHODS
from tasks.params import BASELINE, Params, Quantize
from tasks.params.compress import Compress
from tasks.params.search import Interval, Range, Search

LIKE = "like "  # a choice that takes what a hand-written entry says, as it stands
FOUND = "found-"  # how the names begin that a search gives; entries of such names are never taken for hand-written
LONGEST = 36  # of the part of a name that says what it is
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What one trial makes: models, each the parent of the next, and a variant of the last."""

    models: tuple[tuple[str, Compress], ...]
    variant: str
    entry: Quantize

    @property
    def key(self) -> str:
        """Equal for plans that make the same, whatever the names."""
        chain = [settings(entry) for _, entry in self.models]
        return digest([chain, self.entry.model_dump(mode="json", exclude={"model"})])

    @property
    def label(self) -> str:
        """What it does, in a few words: `prune 0.8 + cluster 16 at int8`."""
        chain = " + ".join(_words(entry) for _, entry in self.models) or BASELINE
        fewer = sum(bits == 4 for bits in self.entry.bits.values())
        return f"{chain} at {self.entry.scheme}" + (f", {fewer} layers at 4 bits" if fewer else "")


def digest(value: Any) -> str:
    """A short name for a value that is JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def settings(entry: Compress) -> dict[str, Any]:
    """What an entry of `compress` does, without its place in the tree."""
    return entry.model_dump(mode="json", exclude={"parent"})


def written(params: Params) -> list[str]:
    """The variants that the user wrote, in order."""
    return [name for name in params.quantize if not name.startswith(FOUND)]


def space(params: Params, search: Search, layers: Sequence[str]) -> dict[str, Range]:
    """Every parameter of a trial and what it may be: `chain`, `scheme`, `prune.sparsity`, `bits.conv2d`.

    Args:
        params: whose hand-written models and variants are choices too.
        search: its section `search`.
        layers: those whose bit widths are searched, where they are.
    """
    points = [point(params, search, name) for name in written(params)]
    chains = ["+".join(chain) or BASELINE for chain in search.chains] + [each["chain"] for each in points]
    schemes = [*search.schemes, *(each["scheme"] for each in points)]
    bits: dict[str, Range] = {f"bits.{layer}": search.bits for layer in layers} if search.bits else {}
    return {"chain": tuple(dict.fromkeys(chains)), "scheme": tuple(dict.fromkeys(schemes)), **search.ranges, **bits}


def point(params: Params, search: Search, variant: str) -> dict[str, Any]:
    """Where a hand-written variant lies in the space; what is not named there makes no difference."""
    entry = params.quantize[variant]
    chain = entry.model if entry.model == BASELINE else f"{LIKE}{entry.model}"
    if entry.scheme in search.schemes and entry == Quantize(model=entry.model, scheme=entry.scheme) and not search.bits:
        return {"chain": chain, "scheme": entry.scheme}
    same = [name for name in written(params) if _scheme(params.quantize[name]) == _scheme(entry)]
    return {"chain": chain, "scheme": f"{LIKE}{same[0]}"}


def plan(params: Params, search: Search, values: Values) -> Plan:
    """The entries that a point of the space stands for; hand-written ones keep their names."""
    models = _chain(params, search, values)
    model = models[-1][0] if models else BASELINE
    if values["scheme"].startswith(LIKE):
        like = params.quantize[values["scheme"].removeprefix(LIKE)]
        entry = like.model_copy(update={"model": model})
    else:
        bits = {} if any(METHODS.load(method.method).renames for _, method in models) else _bits(values)
        entry = Quantize(model=model, scheme=values["scheme"], **({"bits": bits} if bits else {}))
    return Plan(models, _variant(params, entry), entry)


def _chain(params: Params, search: Search, values: Values) -> tuple[tuple[str, Compress], ...]:
    name = str(values["chain"])
    if name.startswith(LIKE):
        last = name.removeprefix(LIKE)
        line = [last, *params.ancestors(last)][:-1]
        return tuple((each, params.compress[each]) for each in reversed(line))
    models: list[tuple[str, Compress]] = []
    for method in name.split("+") if name != BASELINE else []:
        own = {key: value for key, value in values.items() if key.startswith(f"{method}.")}
        parent = models[-1][0] if models else BASELINE
        entry = search.entry(method, parent, {key.partition(".")[2]: _short(value) for key, value in own.items()})
        chain = [*(each for _, each in models), entry]
        stem = "-".join(each.method for each in chain)[:LONGEST]
        models.append((f"{FOUND}{stem}-{digest([settings(each) for each in chain])[:6]}", entry))
    return tuple(models)


def _bits(values: Values) -> dict[str, int]:
    """The layers whose bits are other than the scheme's own."""
    scheme = SCHEMES.load(values["scheme"])
    chosen = {key.partition(".")[2]: bits for key, bits in values.items() if key.startswith("bits.")}
    return {layer: bits for layer, bits in chosen.items() if bits != scheme.weights} if "bits" in scheme.takes else {}


def _variant(params: Params, entry: Quantize) -> str:
    """The name that the user gave to the same variant, else a new one."""
    for name in written(params):
        if params.quantize[name] == entry:
            return name
    plain = entry == Quantize(model=entry.model, scheme=entry.scheme)
    more = "" if plain else f"-{digest(_scheme(entry))[:6]}"
    return f"{FOUND}{entry.model.removeprefix(FOUND)[: LONGEST + 7]}-{entry.scheme}{more}"


def _scheme(entry: Quantize) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude={"model"})


def _short(value: Any) -> Any:
    """Three digits: nobody writes more into a params.yaml."""
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _words(entry: Compress) -> str:
    aims = ("keep", "sparsity", "pattern", "clusters", "energy")
    aim = next((getattr(entry, name) for name in aims if getattr(entry, name, None) is not None), None)
    return (
        entry.method
        if aim is None
        else f"{entry.method} {aim:g}"
        if isinstance(aim, float)
        else f"{entry.method} {aim}"
    )


def levels(found: Range, count: int) -> tuple[Any, ...]:
    """A range as at most `count` choices: evenly spaced, or by their logarithm."""
    if not isinstance(found, Interval):
        return found
    import numpy as np

    spaced = np.geomspace if found.log else np.linspace
    values = spaced(found.low, found.high, count)
    if isinstance(found.low, int) and isinstance(found.high, int):
        return tuple(dict.fromkeys(round(value) for value in values.tolist()))
    return tuple(float(value) for value in values)
