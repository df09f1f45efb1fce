"""A model from a file of any kind that Keras writes, as a tf_keras model."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError
from tasks.foreign import archive, keras3, limits, names, safety, saved_model, values
from tasks.params import Stored
from tasks.training import custom

if TYPE_CHECKING:
    import tf_keras

log = logging.getLogger(__name__)
LITERT = ".tflite"
KINDS = "a .keras or .h5 file, a SavedModel folder of tf_keras, or a .tflite file"


def is_litert(params: Stored) -> bool:
    """Whether the file is a LiteRT file, which has no layers any more."""
    return params.source.endswith(LITERT)


def load(params: Stored) -> "tf_keras.Model":
    """Read a model with its weights and without its optimizer. Nothing in the file is run.

    Raises:
        ModelError: there is no such file, it is damaged or no model, it asks for code to run, or its model is neither
            Sequential nor Functional.
    """
    path = existing(params)
    if is_litert(params):
        raise ModelError(
            f"{path}: a LiteRT file cannot be trained; set train.epochs: 0, and scheme as-is for its variant"
        )
    if params.layers:
        custom.register(params.layers)
    found = _described(path)
    newer = found.version.startswith("3")
    config = safety.read(path, found.config, lambdas=params.lambdas, keras3=newer)
    if newer:
        config, coarse = values.in_float32(values.merged(config))
        config, renamed = names.in_scope(config)
        for old, new in renamed.items():
            log.warning("%s: %r is no name for a layer in TensorFlow; from here on it is %r", path, old, new)
        if coarse:
            log.warning("%s: it computes in %s; from here on in float32", path, ", ".join(sorted(coarse)))
    if path.is_dir():
        model = _saved_model(path, config, found.numbers, params)
    else:
        with archive.rewritten(path, config) as clean:
            if newer:
                model = keras3.load(path, config, params, clean, found.numbers)
            else:
                model = _tf_keras(path, clean, found.numbers, params)
    limits.check_sizes(path, model)
    if not getattr(model, "_is_graph_network", False):
        raise ModelError(
            f"{path}: {type(model).__name__} is a subclassed model, whose layers are joined by its code; "
            "save a Sequential or Functional one"
        )
    return model


def existing(params: Stored) -> Path:
    """The file's path.

    Raises:
        ModelError: there is no such file.
    """
    path = Path(params.source)
    if not path.exists():
        raise ModelError(f"source: {path}: no such file; {KINDS} is expected")
    return path


def _described(path: Path) -> archive.Described:
    if path.is_dir():
        return saved_model.described(path)
    if path.suffix in (archive.ZIP, *archive.HDF5):
        return archive.described(path)
    raise ModelError(f"source: {path}: no kind of file that is known; {KINDS} is expected")


def _tf_keras(path: Path, clean: Path, numbers: int, params: Stored) -> "tf_keras.Model":
    import tf_keras as keras

    with _reading(path, numbers), keras.utils.custom_object_scope(safety.own()):
        return keras.models.load_model(clean, compile=False, safe_mode=not params.lambdas)


def _saved_model(path: Path, config: dict[str, Any], numbers: int, params: Stored) -> "tf_keras.Model":
    """Built from the configuration beside the graph; the graph itself is not loaded."""
    import tf_keras as keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope  # which only `load_model` offers to the public

    with _reading(path, numbers), SafeModeScope(safe_mode=not params.lambdas):
        model = keras.models.model_from_json(json.dumps(config), custom_objects=safety.own())
        model.load_weights(str(path / saved_model.WEIGHTS)).expect_partial().assert_existing_objects_matched()
    return model


@contextmanager
def _reading(path: Path, numbers: int) -> Iterator[None]:
    """What Keras says of a model that it cannot build, in one line."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* is not loaded, but a Lambda layer uses it")
        try:
            with limits.budget(numbers):
                yield
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
        except Exception as error:  # the boundary: Keras has no list of what it raises on a strange description
            raise ModelError(f"{path}: cannot be read as a model of tf_keras: {archive.one_line(error)}") from None
