"""`python -m tasks STAGE [KEY ...]`: one stage, as dvc.yaml calls it; the flow calls `call` in its own process."""

import inspect
import logging
import os
import sys
from contextlib import nullcontext

from tasks import paths
from tasks.errors import ParamsError, TercetError

STAGES = {
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
BUSY = {"train", "compress", "quantize", "evaluate"}  # what no measurement of this machine may run beside


def call(stage: str, *keys: str) -> None:
    """Run one stage on the project in the working directory; if it fails, why is kept until it succeeds.

    Raises:
        TercetError: of the kind that the stage documents; ParamsError for a stage or a number of keys that is not.
    """
    from tasks import failures, params
    from tasks.bench.transport import hold
    from tasks.registry import resolve

    function = resolve(STAGES, stage, "stage")
    names = list(inspect.signature(function).parameters)[1:]
    if len(names) != len(keys):
        raise ParamsError(f"stage {stage} takes {len(names)} keys ({', '.join(names)}); received {len(keys)}")
    with failures.kept(stage, *keys), hold("local", exclusive=False) if stage in BUSY else nullcontext():
        function(params.load(), *keys)


def quiet_libraries() -> None:
    """Send what libraries write past Python to standard error (TensorFlow: pages) to `.tercet/chatter.log`.

    Their own switches silence only some of it. Python's `sys.stderr` keeps the terminal.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    paths.STATE.mkdir(exist_ok=True)
    sys.stderr.flush()
    terminal = os.dup(2)
    with (paths.STATE / "chatter.log").open("ab") as log:
        os.dup2(log.fileno(), 2)
    sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def main() -> int:
    """Run the stage that the command line names."""
    quiet_libraries()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        call(*(sys.argv[1:] or [""]))
    except TercetError as error:
        print(error, file=sys.stderr)  # noqa: T201  # a command's error
        return 1
    except ModuleNotFoundError as error:
        print(f"{error}; activate the environment first: source .venv/bin/activate", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
