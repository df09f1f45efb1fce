"""The stages of the pipeline: plain functions, one file each, that know nothing of what orders them."""

import inspect
from collections.abc import Callable, Collection
from contextlib import nullcontext
from typing import TYPE_CHECKING

from tasks.errors import WordsError, suggest

if TYPE_CHECKING:
    from tasks.params import Params

STAGES = {
    "code": "tasks.stages.code:code",
    "sources": "tasks.stages.sources:sources",
    "prepare": "tasks.stages.prepare:prepare",
    "train": "tasks.stages.train:train",
    "compress": "tasks.stages.compress:compress",
    "quantize": "tasks.stages.quantize:quantize",
    "evaluate": "tasks.stages.evaluate:evaluate",
    "yardstick": "tasks.stages.yardstick:yardstick",
    "fingerprint": "tasks.stages.fingerprint:fingerprint",
    "benchmark": "tasks.stages.benchmark:benchmark",
    "report": "tasks.stages.report:report",
    "bundle": "tasks.stages.bundle:bundle",
}
BUSY = {
    "prepare",
    "train",
    "compress",
    "quantize",
    "evaluate",
    "yardstick",
}  # what no measurement of this machine may run beside
GIVEN = {  # which kind of files from outside a stage reads, as dvc.yaml has it of `out/sources`
    "prepare": "data",
    "train": "model",
    "compress": "model",
    "bundle": "model",
}
NAMED: dict[str, "Callable[[Params], Collection[str]]"] = {  # what the keys of stages are names of
    "baseline": lambda params: params.baselines,
    "model": lambda params: params.compress,
    "variant": lambda params: params.quantize,
    "yardstick": lambda params: params.yardstick,
    "device": lambda params: params.benchmark.devices,
}


def call(stage: str, *keys: str) -> None:
    """Run one stage on the project in the working directory; if it fails, why is kept until it succeeds.

    What belongs to a further seed is given the parameters as that seed sees them.

    Raises:
        TercetError: of the kind that the stage documents; WordsError for a stage, a number of keys, or a key that is
            not there.
    """
    from tasks import params
    from tasks.bench.locks import hold
    from tasks.params.seeds import seen_by
    from tasks.records import failures
    from tasks.registry import named

    if stage not in STAGES:
        raise WordsError(f"no stage is named {stage!r}; {suggest(stage, STAGES)}")
    function = named(STAGES[stage])
    names = list(inspect.signature(function).parameters)[1:]
    if not len(names) - len(function.__defaults__ or ()) <= len(keys) <= len(names):
        raise WordsError(f"stage {stage} takes {' and '.join(names) or 'no key'}; received {' '.join(keys) or 'none'}")
    given = params.load()
    for name, key in zip(names, keys, strict=False):
        if name in NAMED and key not in NAMED[name](given):
            raise WordsError(f"stage {stage}: no {name} of params.yaml is {key!r}; {suggest(key, NAMED[name](given))}")
    with failures.kept(stage, *keys), hold("local", exclusive=False) if stage in BUSY else nullcontext():
        function(seen_by(given, *keys), *keys)
