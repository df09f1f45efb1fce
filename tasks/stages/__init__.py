"""The stages: each is a function of the parameters, and of its keys, that makes what dvc.yaml says."""

import inspect
from contextlib import nullcontext

STAGES = {
    "code": "tasks.code:code",
    "origin": "tasks.origin:origin",
    "prepare": "tasks.prepare:prepare",
    "train": "tasks.train:train",
    "compress": "tasks.compress.stage:compress",
    "quantize": "tasks.quantize.stage:quantize",
    "evaluate": "tasks.evaluate:evaluate",
    "probe": "tasks.probe:probe",
    "benchmark": "tasks.benchmark:benchmark",
    "report": "tasks.report:report",
    "deploy": "tasks.deploy:deploy",
}
BUSY = {"prepare", "train", "compress", "quantize", "evaluate"}  # what no measurement of this machine may run beside


def call(stage: str, *keys: str) -> None:
    """Run one stage on the project in the working directory; if it fails, why is kept until it succeeds.

    Raises:
        TercetError: of the kind that the stage documents; ParamsError for a stage or a number of keys that is not.
    """
    from tasks import failures, params
    from tasks.bench.locks import hold
    from tasks.errors import ParamsError
    from tasks.registry import resolve

    function = resolve(STAGES, stage, "stage")
    names = list(inspect.signature(function).parameters)[1:]
    if len(names) != len(keys):
        raise ParamsError(f"stage {stage} takes {len(names)} keys ({', '.join(names)}); received {len(keys)}")
    with failures.kept(stage, *keys), hold("local", exclusive=False) if stage in BUSY else nullcontext():
        function(params.load(), *keys)
