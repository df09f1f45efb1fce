"""`tercet stage NAME [KEY ...]`: one stage, as dvc.yaml calls it; the flow calls the function in its own process."""

from flows import seeds
from flows.start.lines import log_to_terminal
from flows.start.quiet import noted, quiet_libraries
from tasks import dvc_lock, params, paths
from tasks.bench import devices
from tasks.code.causes import causes, written
from tasks.code.hangs import everything
from tasks.errors import TercetError
from tasks.files import read_json
from tasks.stages import GIVEN, call
from tasks.stages.sources import KINDS


def stage(name: str, *keys: str) -> None:
    """Run a stage on the project in the working directory.

    Raises:
        TercetError: whatever went wrong, in one line.
    """
    quiet_libraries()
    log_to_terminal()
    dvc_lock.keep()  # DVC is not writing it now, and may be killed when it does
    try:
        seeds.check(params.load())
        check_code(name, *keys)
        check_given(name)
        check_device(name, *keys)
        call(name, *keys)
    except TercetError:
        raise
    except Exception as error:  # the boundary: for the user it is one line, whatever it is
        raise TercetError(f"stage {' '.join([name, *keys])}: {noted(error)}") from error


def check_code(name: str, *keys: str) -> None:
    """See that the code here is what `out/code` says: DVC alone does not, and would keep what it makes under that name.

    Raises:
        TercetError: `out/code` says something else of this stage than there is.
    """
    was, now = written(), everything(params.load())
    for of in {name, ".".join((name, *keys[-1:]))} & now.keys():
        if of not in was:
            raise TercetError(f"{paths.code(of)}: not there, or not whole: `tercet run` writes it, or `dvc repro code`")
        if was[of] != now[of]:
            why = "; ".join(causes({of: was[of]}, {of: now[of]})) or "its settings changed"
            raise TercetError(
                f"{paths.code(of)} is of other code: {why}; `tercet run` writes it anew, or `dvc repro --force code`"
            )


def check_given(name: str) -> None:
    """See that the files from outside that a stage reads are those that `out/sources` says, for the same reason.

    Raises:
        TercetError: one is another, or is not there.
    """
    if (kind := GIVEN.get(name)) is None:
        return
    was, now = read_json(paths.source(kind)) or {}, KINDS[kind](params.load())
    if changed := sorted(file for file in was.keys() | now.keys() if was.get(file) != now.get(file)):
        more = f" (and {len(changed) - 1} more)" if changed[1:] else ""
        raise TercetError(
            f"{paths.source(kind)} is of other files: {changed[0]} changed{more}; `tercet run` writes it anew, or "
            f"`dvc repro --force sources@{kind}`"
        )


def check_device(name: str, *keys: str) -> None:
    """See that the device of a benchmark is the one whose fingerprint DVC goes by: figures of another would be its own.

    Raises:
        TercetError: something of it is other, as on another machine or after an upgrade.
    """
    for device in params.load().benchmark.devices if name == "benchmark" else ():
        was = read_json(paths.fingerprint(device)) if device in keys[1:] else None
        now = devices.fingerprint(devices.load(device)) if was else {}
        if was and (changed := sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))):
            told = f"{changed[0]} was {was.get(changed[0])!r} and is {now.get(changed[0])!r}"
            raise TercetError(
                f"{paths.fingerprint(device)} is of another machine or version: {told}; `tercet run` writes it anew, "
                f"or `dvc repro --force fingerprint@{device}`"
            )
