"""`python -m tasks STAGE [KEY ...]`: one stage, as dvc.yaml calls it; the flow calls `call` in its own process."""

import inspect
import logging
import os
import sys
import traceback
from contextlib import nullcontext

from tasks import dvc_lock, paths, signals
from tasks.errors import ParamsError, TercetError

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

    Raises:
        TercetError: the file cannot be written.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.stderr.flush()
    try:
        paths.STATE.mkdir(exist_ok=True)
        log = paths.CHATTER.open("ab")
    except OSError as error:
        raise TercetError(
            f"{error.filename}: {str(error.strerror).lower()}; what Tercet keeps of this project lies there, "
            "so it must be a folder that you may write to"
        ) from None
    terminal = os.dup(2)
    with log:
        os.dup2(log.fileno(), 2)
    sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


def noted(error: Exception) -> str:
    """One line for an error that nobody has foreseen, whose traceback goes where it is out of the way."""
    from tasks.failures import words

    try:
        with paths.CHATTER.open("a", encoding="utf-8") as log:
            traceback.print_exception(error, file=log)
    except OSError:  # a full disk may be the very error
        return words(error)
    return f"{words(error)}; the traceback is in {paths.CHATTER}"


def main() -> int:
    """Run the stage that the command line names."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        quiet_libraries()
        dvc_lock.keep()  # DVC is not writing it now, and may be killed when it does
        call(*(sys.argv[1:] or [""]))
    except ModuleNotFoundError as error:
        print(f"{error}; activate the environment first: source .venv/bin/activate", file=sys.stderr)  # noqa: T201
        return 1
    except Exception as error:  # the boundary: for the user it is one line, whatever it is
        said = str(error) if isinstance(error, TercetError) else f"stage {' '.join(sys.argv[1:])}: {noted(error)}"
        print(said, file=sys.stderr)  # noqa: T201  # a command's error
        return 1
    return 0


if __name__ == "__main__":
    signals.listen(f"stage {' '.join(sys.argv[1:])}")
    sys.exit(main())
