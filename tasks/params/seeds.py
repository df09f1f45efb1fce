"""A run over several seeds: all that is trained by chance is made once more for each of them, under a name of its own.

What the first seed makes keeps the names of params.yaml; what seed 1 makes besides is called `int8-s1`. Data are
prepared once. So each seed is a whole line from training to measurement, with a reference of its own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.errors import ParamsError
from tasks.params import BASELINE, Params
from tasks.params.section import Section, at_seed

DRAWS = ("slim",)  # methods that go by chance, without any training too: on which examples a score is taken


def spread(values: Mapping[str, Any], given: Params, path: Path) -> dict[str, Any]:
    """What params.yaml would say, were the entries of all seeds written out in it.

    Args:
        values: as it is written.
        given: the same, checked.
        path: its place, for messages.

    Raises:
        ParamsError: an entry says another seed, or a name is one that stands for a seed.
    """
    seeds, found = given.all_seeds, dict(values)
    found["train"] = _seeded("train", values["train"], given.train, seeds[0], path)
    for table in ("compress", "quantize"):
        entries: Mapping[str, Section] = getattr(given, table)
        found[table] = {
            name: _seeded(f"{table}.{name}", values[table][name], entry, seeds[0], path)
            for name, entry in entries.items()
        }
    models = _varying(given)
    variants = [name for name, entry in given.quantize.items() if entry.aware_epochs or entry.model in models]
    for seed in seeds[1:]:
        for name in (*given.compress, *given.quantize):
            if name.endswith(at_seed("", seed)):
                raise ParamsError(f"{path}: {name}: a name that ends so stands for seed {seed} of `seeds`; rename it")
        for table, names in (("compress", models & given.compress.keys()), ("quantize", variants)):
            again = {at_seed(of, seed): _again(found[table][of], seed, models) for of in found[table] if of in names}
            found[table] = found[table] | again
    return found


def _seeded(where: str, values: Any, entry: Section, seed: int, path: Path) -> Any:
    """An entry by the first seed, if it has one."""
    if "seed" not in type(entry).model_fields or getattr(entry, "method", None) == "external":
        return values
    if values.get("seed", seed) != seed:
        raise ParamsError(
            f"{path}: {where}.seed: received {values['seed']!r}; `seeds` says the seed of every entry, of this one "
            f"{seed}: leave it out"
        )
    return {**values, "seed": seed}


def _again(values: Mapping[str, Any], seed: int, models: set[str]) -> dict[str, Any]:
    """An entry by a further seed, made from what that seed has made."""
    named = {key: values.get(key) for key in ("parent", "teacher", "model")}
    changed = {key: at_seed(str(of), seed) for key, of in named.items() if _one_of(of, models)}
    return {**values, **changed, **({"seed": seed} if "seed" in values else {})}


def _one_of(name: Any, models: set[str]) -> bool:
    return isinstance(name, str) and name in models


def _varying(given: Params) -> set[str]:
    """The models that another seed makes other ones of: what is trained, and what comes of that."""
    found = {BASELINE} if given.train.epochs else set()
    for name in given.model_order():
        entry = given.compress[name]
        by_chance = getattr(entry, "epochs", 1) or entry.method in DRAWS
        if by_chance or entry.parent in found or _one_of(entry.teacher, found):
            found.add(name)
    return found


def replicas(params: Params) -> dict[str, tuple[str, int]]:
    """The models and variants of further seeds: whose they are, and the seed."""
    return {
        name: (name.removesuffix(end), seed)
        for seed in params.all_seeds[1:]
        for name in (*params.baselines, *params.compress, *params.quantize)
        if name.endswith(end := at_seed("", seed))  # `spread` lets no other name end so
    }


def seen_by(params: Params, *names: str) -> Params:
    """The parameters as the stage of a model or variant of a further seed sees them: its seed, its own reference."""
    known = replicas(params)
    return next((_at(params, known[name][1]) for name in names if name in known), params)


def references(params: Params) -> dict[str, str]:
    """What each variant is compared with: the reference of its seed."""
    known, first = replicas(params), params.benchmark.reference
    own = {name: at_seed(first, known[name][1]) if name in known else first for name in params.quantize}
    return {name: reference if reference in params.quantize else first for name, reference in own.items()}


def by_seed(params: Params) -> list[Params]:
    """Each seed's part of the models and variants, in the order of the seeds.

    What no seed changes is of the first; others have of it what theirs is made from, or compared with.
    """
    known = replicas(params)
    varying = {of for of, _ in known.values()}
    tables = {key: _without(getattr(params, key), known) for key in ("compress", "quantize")}
    found = [params.model_copy(update={**tables, "seeds": params.seeds and params.seeds[:1]})]
    for seed in params.all_seeds[1:]:
        seen, others = _at(params, seed), {name for name, (_, other) in known.items() if other != seed} | varying
        own = {name: entry for name, entry in _without(params.quantize, others).items() if name in known}
        reference = seen.benchmark.reference
        changes = {
            "seeds": (params.all_seeds[0], seed),
            "compress": _without(params.compress, others),
            "quantize": {reference: params.quantize[reference]} | own,
        }
        found.append(seen.model_copy(update=changes))
    return found


def _without(entries: Mapping[str, Any], names: Any) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if name not in names}


def _at(params: Params, seed: int) -> Params:
    reference = at_seed(params.benchmark.reference, seed)
    changed = {"reference": reference} if reference in params.quantize else {}
    return params.model_copy(
        update={
            "train": params.train.model_copy(update={"seed": seed}),
            "benchmark": params.benchmark.model_copy(update=changed),
        }
    )
