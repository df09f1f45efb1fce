"""What the outputs of each stage hang from: the code that it runs, the libraries behind it, and its settings."""

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from tasks.bench import devices
from tasks.bench.device import Device
from tasks.bench.kinds import KINDS
from tasks.bench.runner import machine
from tasks.closure import Reader
from tasks.errors import DataError
from tasks.files import sha256
from tasks.params import BASELINE, Compress, Distill, External, File, Params, Quantize, Slim, Stored
from tasks.params.seeds import seen_by
from tasks.records import figures
from tasks.syntax import digest

FOREIGN = "tasks.foreign"  # reads models of one's own
PARALLEL = "tasks.training.parallel"  # trains by several processes
NO_MEASURING = ("tasks.bench.shipping", "tasks.bench.reach")  # what else a kind of device is asked for
CHOICES = "tasks.quality.questions"  # reads questions
CALIBRATES = ("tasks.bench.predict", "tasks.quantize.ranges")  # the runtime, where it chooses what is written


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
        "evaluate": evaluate(params.metric, params.choices, reader),
        "report": {
            **_code(reader, "tasks.stages.report", {params.metric, *figures.TABLE.plugins()}),
            "settings": params.model_copy(update={"search": None, "seeds": params.all_seeds[1:] or None}).known(),
        },
    }
    for name in params.baselines:
        if name != BASELINE:
            found[_training(name)] = train(seen_by(params, name), reader)
    for name, entry in params.compress.items():
        found[f"compress.{name}"] = compress(entry, reader)
    for name in params.model_order():
        found[f"compress.{name}"] |= _teacher(params, name, found)
    for name, simple in params.yardstick.items():
        found[f"yardstick.{name}"] = {
            **_code(reader, "tasks.stages.yardstick", {simple.method, params.metric}),
            "settings": simple.known() | {"metric": params.metric},
        }
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
    aside = [*(() if isinstance(params.model, File) else (FOREIGN,)), *(() if params.train.parallel else (PARALLEL,))]
    found = _code(reader, "tasks.stages.train", {params.model.family}, aside)
    return {**found, "settings": {"model": params.model.known(), "train": params.train.known()}}


def compress(entry: Compress, reader: Reader) -> dict[str, Any]:
    """What a model of `compress` hangs from."""
    student = entry.model if isinstance(entry, Distill) else None
    estimator = devices.load(entry.device) if isinstance(entry, Slim) and entry.device else None
    families = {each.family for each in (student, entry.teacher) if each is not None and not isinstance(each, str)}
    named = {entry.method, *families, *(members(estimator) if estimator else [])}
    foreign = isinstance(entry, External) or isinstance(student, Stored)
    aside = NO_MEASURING if foreign else (FOREIGN, *NO_MEASURING)
    found = {**_code(reader, "tasks.stages.compress", named, aside), "settings": entry.known()}
    return found | ({"devices": {estimator.name: devices.fingerprint(estimator)}} if estimator else {})


def _teacher(params: Params, name: str, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What a model's teacher hangs from, where the parents in between do not tell of it; else nothing.

    dvc.yaml names the parent alone. If one in between is not made of its own parent's weights, that parent stays the
    same when the teacher changes.
    """
    line, teacher = params.ancestors(name), params.compress[name].teacher
    if not isinstance(teacher, str):
        return {}
    between = [params.compress[each] for each in line[: line.index(teacher)]]
    if not any(isinstance(each, External) or (isinstance(each, Distill) and each.model) for each in between):
        return {}
    made_by = [f"compress.{each}" if each in params.compress else _training(each) for each in line]
    from_there = made_by[line.index(teacher) :]
    return {"teacher": digest(*(json.dumps(found[each], sort_keys=True) for each in from_there))}


def _training(baseline: str) -> str:
    return "train" if baseline == BASELINE else f"train.{baseline}"


def quantize(entry: Quantize, metric: str, reader: Reader) -> dict[str, Any]:
    """What a variant's file hangs from: the runtime that tries it, and the metric, only where that chooses of it."""
    chooses = entry.ranges != "min-max" or entry.exclude or entry.bits or entry.max_quality_drop is not None
    judged_by = {"metric": metric} if entry.max_quality_drop is not None else {}
    members = {entry.scheme, *judged_by.values()}
    found = _code(reader, "tasks.stages.quantize", members, () if chooses else CALIBRATES)
    return {**found, "settings": entry.known() | judged_by}


def evaluate(metric: str, choices: str | None, reader: Reader) -> dict[str, Any]:
    """What every evaluation hangs from; the questions that are asked beside the data among it, by their content.

    Raises:
        DataError: there is no such file.
    """
    found = _code(reader, "tasks.stages.evaluate", {metric}, () if choices else (CHOICES,))
    settings = {"metric": metric}
    if choices:
        if not Path(choices).is_file():
            raise DataError(f"evaluate.choices: {choices}: no such file; one with a question a line is expected")
        settings |= {"choices": choices, "choices_sha256": sha256(Path(choices))}
    return {**found, "settings": settings, "processor": machine.processor()}


def benchmark(device: Device, judged_by: Iterable[str], reader: Reader) -> dict[str, Any]:
    """What the figures of a device hang from, beside what stands in its fingerprint."""
    return _code(reader, "tasks.stages.benchmark", {*members(device), *judged_by}, NO_MEASURING)


def members(device: Device) -> set[str]:
    """The names that registries are asked for on behalf of a device."""
    return {device.kind, *filter(None, (getattr(device, field, None) for field in ("runtime", "meter")))}


def _code(reader: Reader, root: str, named: Collection[str] = (), aside: Collection[str] = ()) -> dict[str, Any]:
    found = reader.closure([root], named, aside)
    return {"files": found.files, "libraries": found.libraries}
