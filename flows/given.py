"""What a run is given from outside (data, models, modules), looked at before anything heavy is imported."""

from tasks.members import SOURCES
from tasks.params import Params
from tasks.stages import sources


def check(params: Params) -> None:
    """Look whether everything that params.yaml names is where it says.

    Raises:
        DataError, ModelError: something is not; the message has the key, the path, what is wanted there, and where it
            comes from.
        ParamsError: there is no such data set.
    """
    SOURCES.load(params.prepare.source).check(params.prepare)
    sources.models(params)
