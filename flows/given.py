"""What a run is given from outside (data, models, modules), looked at before anything heavy is imported."""

from importlib import import_module

from tasks.params import Params
from tasks.stages import sources
from tasks.stages.prepare import SOURCES


def check(params: Params) -> None:
    """Look whether everything that params.yaml names is where it says.

    Raises:
        DataError, ModelError: something is not; the message has the key, the path, what is wanted there, and where it
            comes from.
        ParamsError: there is no such data set.
    """
    module = SOURCES[params.prepare.source].partition(":")[0]
    import_module(module).check(params.prepare)
    sources.models(params)
