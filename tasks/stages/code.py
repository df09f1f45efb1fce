"""Stage `code`: write down what code, libraries and settings the outputs of each stage hang from.

These files are all that dvc.yaml knows of code; `closure.py` says what counts as code. So an edit, and an upgrade of
Tercet or of a library, makes old what it may shape, and nothing else.
"""

import json
import logging
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from tasks import paths
from tasks.bench import devices
from tasks.bench.device import Device
from tasks.bench.kinds import KINDS
from tasks.bench.runner import machine
from tasks.closure import Reader
from tasks.files import replaced_folder, write_json
from tasks.params import Compress, Distill, External, File, Params, Quantize, Slim, Stored
from tasks.records import figures

SHOWN = 8  # causes that are told
FOREIGN = "tasks.foreign"  # reads models of one's own
NO_MEASURING = ("tasks.bench.shipping", "tasks.bench.reach")  # what else a kind of device is asked for
CALIBRATES = ("tasks.bench.predict", "tasks.quantize.ranges")  # the runtime, where it chooses what is written
log = logging.getLogger(__name__)


def code(params: Params) -> None:
    """Write `out/code/<stage>[.<key>].json` for every stage, and only where they would say something else than they do.

    Each has `files` (by name, a digest of what each says), `libraries` (by distribution, the version; null: not
    installed), and `settings` with every default that params.yaml leaves out. An evaluation's has the processor, which
    chooses the kernels, and that of a model which an estimate has shaped has the devices' fingerprints.

    Raises:
        ParamsError: a device's file is wrong.
    """
    old, new = written(), everything(params)
    if old == new:
        return
    for line in causes(old, new):
        log.info("code: %s", line)
    with replaced_folder(paths.CODE) as folder:
        for name, value in new.items():
            write_json(folder / paths.code(name).name, value)


def everything(params: Params) -> dict[str, dict[str, Any]]:
    """What the file of each stage and key says, by its name without the ending."""
    reader = Reader()
    named = {name: devices.load(name) for name in params.benchmark.devices}
    found = {
        "prepare": {
            **_code(reader, "tasks.stages.prepare", {params.prepare.source}),
            "settings": {"prepare": params.prepare.known()},
        },
        "train": train(params, reader),
        "evaluate": evaluate(params.metric, reader),
        "report": {
            **_code(reader, "tasks.stages.report", {params.metric, *figures.TABLE.plugins()}),
            "settings": params.model_copy(update={"search": None}).known(),
        },
    }
    for name, entry in params.compress.items():
        found[f"compress.{name}"] = compress(entry, reader)
    for name, variant in params.quantize.items():
        found[f"quantize.{name}"] = quantize(variant, params.metric, reader)
    for name, device in named.items():
        judged_by = {"metric": params.metric} if KINDS.load(device.kind).own_kernels else {}
        settings = params.benchmark.protocol.known() | judged_by
        found[f"benchmark.{name}"] = {**benchmark(device, judged_by.values(), reader), "settings": settings}
        shipped = {"name": params.name, "budget": params.bundle.budget(name).known(), "device": device.known()}
        found[f"bundle.{name}"] = {
            **_code(reader, "tasks.stages.bundle", {*members(device), *figures.TABLE.plugins()}),
            "settings": shipped,
        }
    reader.keep()
    return found


def train(params: Params, reader: Reader) -> dict[str, Any]:
    """What the baseline hangs from."""
    aside = () if isinstance(params.model, File) else (FOREIGN,)
    found = _code(reader, "tasks.stages.train", {params.model.family}, aside)
    return {**found, "settings": {"model": params.model.known(), "train": params.train.known()}}


def compress(entry: Compress, reader: Reader) -> dict[str, Any]:
    """What a model of `compress` hangs from."""
    student = entry.model if isinstance(entry, Distill) else None
    estimator = devices.load(entry.device) if isinstance(entry, Slim) and entry.device else None
    named = {entry.method, *([student.family] if student else []), *(members(estimator) if estimator else [])}
    foreign = isinstance(entry, External) or isinstance(student, Stored)
    aside = NO_MEASURING if foreign else (FOREIGN, *NO_MEASURING)
    found = {**_code(reader, "tasks.stages.compress", named, aside), "settings": entry.known()}
    return found | ({"devices": {estimator.name: devices.fingerprint(estimator)}} if estimator else {})


def quantize(entry: Quantize, metric: str, reader: Reader) -> dict[str, Any]:
    """What a variant's file hangs from: the runtime that tries it, and the metric, only where that chooses of it."""
    chooses = entry.ranges != "min-max" or entry.exclude or entry.bits or entry.max_quality_drop is not None
    judged_by = {"metric": metric} if entry.max_quality_drop is not None else {}
    members = {entry.scheme, *judged_by.values()}
    found = _code(reader, "tasks.stages.quantize", members, () if chooses else CALIBRATES)
    return {**found, "settings": entry.known() | judged_by}


def evaluate(metric: str, reader: Reader) -> dict[str, Any]:
    """What every evaluation hangs from."""
    found = _code(reader, "tasks.stages.evaluate", {metric})
    return {**found, "settings": {"metric": metric}, "processor": machine.processor()}


def benchmark(device: Device, judged_by: Iterable[str], reader: Reader) -> dict[str, Any]:
    """What the figures of a device hang from, beside what stands in its fingerprint."""
    return _code(reader, "tasks.stages.benchmark", {*members(device), *judged_by}, NO_MEASURING)


def causes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Why what was made is old, a line for each file and library that has changed, with whom it concerns."""
    found: dict[str, list[str]] = {}
    for name in old.keys() & new.keys():
        for what in _changed(old[name], new[name]):
            found.setdefault(what, []).append(name)
    lines = [f"{what} ({', '.join(sorted(names))})" for what, names in sorted(found.items())]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more


def _changed(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    was, now = old.get("files", {}), new["files"]
    for file in was.keys() | now.keys():
        if was.get(file) != now.get(file):
            yield f"{file} {'is not run any more' if file not in now else 'changed' if file in was else 'is run now'}"
    was, now = old.get("libraries", {}), new["libraries"]
    for library in was.keys() & now.keys():
        if was[library] != now[library]:
            yield f"{library} {was[library] or 'absent'} → {now[library] or 'absent'}"


def members(device: Device) -> set[str]:
    """The names that registries are asked for on behalf of a device."""
    return {device.kind, *filter(None, (getattr(device, field, None) for field in ("runtime", "meter")))}


def _code(reader: Reader, root: str, named: Collection[str] = (), aside: Collection[str] = ()) -> dict[str, Any]:
    found = reader.closure([root], named, aside)
    return {"files": found.files, "libraries": found.libraries}


def written() -> dict[str, Any]:
    """What `out/code` says, as `everything` has it; empty where it is not whole."""
    try:
        return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths.CODE.glob("*.json")}
    except ValueError:  # one is not whole
        return {}
