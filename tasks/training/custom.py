"""The Python module that registers a user's own layers: the only code of his that runs, because he named it."""

import hashlib
import importlib
import sys
from collections import Counter
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from tasks.errors import ModelError
from tasks.files import sha256
from tasks.records import Code

OURS = "tercet>"  # what `layers.py` registers


def files(module: str) -> list[Path]:
    """The source files of a module, or of the package that it is, without importing it.

    Raises:
        ModelError: there is no such module, neither in the environment nor in the project, or one in each.
    """
    place, first = Path(*module.split(".")), _spec(module.partition(".")[0])
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            if first and first.origin and not Path(first.origin).is_relative_to(Path.cwd()):
                raise ModelError(f"layers: {path} bears the name of {first.origin}, which comes first; rename it")
            return _with_siblings(path)
    spec = _spec(module)
    if spec is None or not spec.has_location or spec.origin is None:
        raise ModelError(f"layers: no Python module {module!r} in {Path.cwd()} or the environment")
    return _with_siblings(Path(spec.origin))


def _spec(module: str) -> ModuleSpec | None:
    """Where a module of the environment is. `importlib.util.find_spec` would import the packages that it is in."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        found = (finder.find_spec(name, path) for finder in sys.meta_path) if all(parts) else iter(())
        spec = next((spec for spec in found if spec is not None), None)
        path = list(spec.submodule_search_locations or ()) if spec is not None else []
    return spec


def code(module: str | None) -> Code | None:
    """What a model's card says of the module that its layers come from; None where it needs none."""
    if module is None:
        return None
    sources = "\n".join(sha256(path) for path in files(module))
    return Code(module=module, sha256=hashlib.sha256(sources.encode()).hexdigest())


def register(module: str) -> None:
    """Import a module from the environment or the project, so that Keras knows the layers that it registers.

    The project's folder comes last, so that no other file in it is taken for a library.

    Raises:
        ModelError: there is no such module, or it cannot be imported.
    """
    files(module)
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        importlib.import_module(module)
    except Exception as error:  # the boundary: the user's code may raise whatever it likes
        raise ModelError(f"layers: {module!r} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        del sys.path[-1]


def objects() -> dict[str, Any]:
    """What the user has registered, by its registered name (`package>Name`), and by its short one if but one has it."""
    import tf_keras as keras

    registered = keras.saving.get_custom_objects()
    found = {key: value for key, value in registered.items() if not key.startswith(OURS)}
    short = Counter(key.rpartition(">")[2] for key in found)
    return {name: value for key, value in found.items() if short[name := key.rpartition(">")[2]] == 1} | found


def _with_siblings(path: Path) -> list[Path]:
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
