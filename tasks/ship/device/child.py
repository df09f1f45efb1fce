"""Programs that the keeper starts: each has a time limit, and a crash is a line."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence

LINE = 300  # characters of a program's last words
FAILED, FULL, HELD, PROOF, RESTART, NOTHING = 1, 30, 31, 32, 33, 34  # codes beside those of `verify.Refusal`
UNSIGNED, OUTSIDE = 10, 15  # which need not be here


class FailedError(Exception):
    """A line for the user, with its code."""

    def __init__(self, line: str, code: int = FAILED) -> None:
        super().__init__(line)
        self.code = code


def child(module: str, words: Sequence[str], site: Sequence[str], limit_s: float) -> str:
    """The last line of a module that was sent, in a process of its own with packages of its own.

    Raises:
        FailedError: as `run`.
    """
    sources = __spec__.loader.sources  # type: ignore[union-attr]  # `boot.Sent` has imported this module
    package = __name__.partition(".")[0]
    sent = {"sources": sources, "site": site, "run": f"{package}.{module}", "words": words}
    content = json.dumps(sent).encode()
    command = [sys.executable, "-I", "-c", sources[f"{package}.ship.boot"]]
    return run(command, b"%d\n%s" % (len(content), content), limit_s, module)


def run(command: Sequence[str], given: bytes, limit_s: float, what: str) -> str:
    """The last line that a program prints.

    Raises:
        FailedError: it ends with another code than 0, which is the failure's; it crashes, or does not end.
    """
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise FailedError(f"{what}: not done within {limit_s:g} s", PROOF) from None
    said = (done.stderr if done.returncode else done.stdout).decode(errors="replace").strip().splitlines() or [""]
    if done.returncode < 0:
        raise FailedError(f"{what}: crashes here: {signal.Signals(-done.returncode).name}", PROOF)
    if done.returncode:
        raise FailedError(said[-1][-LINE:] or f"{what}: ended with code {done.returncode}", done.returncode)
    return said[-1]
