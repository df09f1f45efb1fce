"""The stages of further seeds: `seeds/dvc.yaml`, written by what params.yaml and dvc.yaml say, and absent for one seed.

Each is the stage of the first seed under other names, with all that the project's own dvc.yaml adds to it. DVC finds
the file by itself, so `dvc repro`, `dvc push` and all else see one graph.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from flows.graph import GRAPH
from tasks import dvc_lock, paths
from tasks.errors import TercetError
from tasks.files import write_text
from tasks.params import BASELINE, Params, read_yaml
from tasks.params.section import at_seed
from tasks.params.seeds import by_seed, replicas

PLACE = paths.SEEDS / GRAPH
HEAD = "# Of the `seeds` of params.yaml, by dvc.yaml. Written by `tercet run`: what is changed here is lost.\n"


def check(params: Params) -> None:
    """Have the file say what it should.

    Raises:
        TercetError: it did not, so DVC goes by what was; now it does.
    """
    if write(params):
        seeds = ", ".join(map(str, params.all_seeds))
        raise TercetError(
            f"{PLACE} was of other parameters, and now has those of the seeds {seeds}: `dvc repro` once more"
        )


def write(params: Params) -> bool:
    """Write the file, or remove it where there is one seed; whether it said something else."""
    further = params.all_seeds[1:]
    text = HEAD + yaml.safe_dump({"stages": stages(params)}, sort_keys=False, width=120) if further else None
    there = PLACE.read_text(encoding="utf-8") if PLACE.exists() else None
    if text == there:
        return False
    if text is not None:
        write_text(PLACE, text)
        return True
    PLACE.unlink()
    dvc_lock.forget(PLACE.with_name(dvc_lock.LOCK.name))
    if not any(paths.SEEDS.iterdir()):
        paths.SEEDS.rmdir()
    return True


def stages(params: Params) -> dict[str, Any]:
    """The stages of all further seeds, by name: `compress-s1` is the stage `compress` of seed 1.

    Raises:
        ParamsError: there is no dvc.yaml.
    """
    whole, known, found = read_yaml(GRAPH)["stages"], replicas(params), {}
    for seed, seen in zip(params.all_seeds[1:], by_seed(params)[1:], strict=True):
        made = {
            "train": [name for name in (at_seed(BASELINE, seed),) if name in params.baselines],
            "compress": {name: {"parent": e.parent, "of": known[name][0]} for name, e in _own(seen.compress, known)},
            "quantize": {name: {"model": e.model, "of": known[name][0]} for name, e in _own(seen.quantize, known)},
        }
        variants = [*made["quantize"]]
        made["evaluate"] = variants
        for stage, items in made.items():
            if items:
                inner = _trained(whole[stage]) if stage == "train" else whole[stage]["do"]
                found[at_seed(stage, seed)] = {"foreach": items, "do": _placed(inner, seen, stage)}
        if variants:
            loops = {"matrix": {"variant": list(variants), "device": list(params.benchmark.devices)}}
            pairs = {key: value for key, value in whole["benchmark"].items() if key != "matrix"}
            found[at_seed("benchmark", seed)] = loops | _placed(pairs, seen, "benchmark")
    return found


def _own(entries: Mapping[str, Any], known: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, entry) for name, entry in entries.items() if name in known]


def _trained(stage: Mapping[str, Any]) -> dict[str, Any]:
    """The stage that trains the baseline, with the baseline's name as its key."""
    keyed = _replaced(
        dict(stage),
        {"out/code/train.json": "out/code/train.${item}.json", str(paths.model(BASELINE)): "out/models/${item}"},
    )
    return {**keyed, "cmd": f"{stage['cmd']} ${{item}}"}


def _placed(stage: Mapping[str, Any], seen: Params, name: str) -> dict[str, Any]:
    """A stage as it stands in the folder of the seeds, with the seed's own reference."""
    words = {"${benchmark.reference}": seen.benchmark.reference} | ({"${key}": "${item}"} if name == "evaluate" else {})
    placed = {"wdir": "..", **_replaced(dict(stage), words)}
    if "params" in placed:  # they stand in params.yaml under the name of the first seed
        of = {f"{name}.${{key}}": f"{name}.${{item.of}}"}
        placed["params"] = [of.get(each, each) if isinstance(each, str) else each for each in placed["params"]]
    return placed


def _replaced(value: Any, words: Mapping[str, str]) -> Any:
    """The same with other words in all its texts."""
    if isinstance(value, dict):
        return {_replaced(key, words): _replaced(each, words) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, words) for each in value]
    for old, new in words.items():
        value = value.replace(old, new) if isinstance(value, str) else value
    return value
