"""A model from a file of any kind that Keras writes, as a tf_keras model."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import custom
from tasks.errors import ModelError
from tasks.params import Stored
from tasks.stored import archive, keras3, safety

if TYPE_CHECKING:
    import tf_keras

LITERT = ".tflite"
METADATA = "keras_metadata.pb"  # of a SavedModel that tf_keras wrote
WEIGHTS = Path("variables", "variables")
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
    if path.is_dir():
        model = _saved_model(path, params)
    else:
        config, version = _described(path)
        config = {key: value for key, value in config.items() if key != "compile_config"}
        safety.check(path, config, lambdas=params.lambdas)
        model = keras3.load(path, config, params) if version.startswith("3") else _tf_keras(path, params)
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


def _described(path: Path) -> tuple[dict[str, Any], str]:
    match path.suffix:
        case ".keras":
            return archive.keras_zip(path)
        case ".h5" | ".hdf5":
            return archive.h5_config(path)
    raise ModelError(f"source: {path}: no kind of file that is known; {KINDS} is expected")


def _tf_keras(path: Path, params: Stored) -> "tf_keras.Model":
    import tf_keras as keras

    try:
        with keras.utils.custom_object_scope(custom.objects()), _no_matter_where_lambdas_are_from():
            return keras.models.load_model(path, compile=False, safe_mode=not params.lambdas)
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as a model of tf_keras: {archive.one_line(error)}") from None


@contextmanager
def _no_matter_where_lambdas_are_from() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* is not loaded, but a Lambda layer uses it")
        yield


def _saved_model(path: Path, params: Stored) -> "tf_keras.Model":
    """Built from the configuration beside the graph; the graph itself, which could do anything, is not loaded."""
    import tensorflow as tf
    import tf_keras as keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope  # which only `load_model` offers to the public

    entry = _root(path)
    if entry.get("class_name") not in ("Functional", "Sequential", "Model"):
        raise ModelError(
            f"{path}: {entry.get('class_name')} is a subclassed model, whose layers are joined by its code; "
            "save a Sequential or Functional one"
        )
    config = {key: entry.get(key) for key in ("class_name", "config")}
    safety.check(path, config, lambdas=params.lambdas)
    try:
        with SafeModeScope(safe_mode=not params.lambdas), _no_matter_where_lambdas_are_from():
            model = keras.models.model_from_json(json.dumps(config), custom_objects=custom.objects())
        model.load_weights(str(path / WEIGHTS)).expect_partial().assert_existing_objects_matched()
    except (AssertionError, KeyError, OSError, TypeError, ValueError, tf.errors.OpError) as error:
        raise ModelError(f"{path}: cannot be read as a model of tf_keras: {archive.one_line(error)}") from None
    return model


def _root(path: Path) -> Mapping[str, Any]:
    """What tf_keras noted of the model itself in a SavedModel."""
    from google.protobuf.message import DecodeError
    from tf_keras.protobuf import saved_metadata_pb2

    if not (path / METADATA).is_file():
        raise ModelError(
            f"{path}: no SavedModel of tf_keras ({METADATA} is missing), so its layers are not known; "
            "save the model as .keras, or convert it to .tflite"
        )
    try:
        nodes = saved_metadata_pb2.SavedMetadata.FromString((path / METADATA).read_bytes()).nodes
        root = json.loads(next(node.metadata for node in nodes if node.node_path == "root"))
    except (DecodeError, RecursionError, StopIteration, ValueError) as error:
        raise ModelError(f"{path / METADATA}: damaged: {archive.one_line(error)}") from None
    return root if isinstance(root, dict) else {}
