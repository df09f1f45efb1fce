"""`tercet stage NAME [KEY ...]`: one stage, as dvc.yaml calls it; the flow calls the function in its own process."""

from flows import seeds
from flows.start.lines import log_to_terminal
from flows.start.quiet import noted, quiet_libraries
from tasks import dvc_lock, params, paths
from tasks.code.causes import causes, written
from tasks.code.hangs import everything
from tasks.errors import TercetError
from tasks.stages import call


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
