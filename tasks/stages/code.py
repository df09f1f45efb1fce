"""Stage `code`: write down what code, libraries and settings the outputs of each stage hang from.

These files are all that dvc.yaml knows of code; `closure.py` says what counts as code. So an edit, and an upgrade of
Tercet or of a library, makes old what it may shape, and nothing else.
"""

import logging

from tasks import paths
from tasks.code.causes import causes, written
from tasks.code.hangs import everything
from tasks.files import replaced_folder, write_json
from tasks.params import Params

log = logging.getLogger(__name__)


def code(params: Params) -> None:
    """Write `out/code/<stage>[.<key>].json` for every stage, and only where they would say something else than they do.

    Each has `files` (by name, a digest of what each says), `libraries` (by distribution, the version; null: not
    installed), and `settings` with every default that params.yaml leaves out. An evaluation's has the processor, which
    chooses the kernels, and that of a model which an estimate has shaped has the devices' fingerprints. That of a model
    whose parent does not tell of its teacher has a digest of what the teacher hangs from.

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
