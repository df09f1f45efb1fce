"""The description of the layers that tf_keras leaves in a SavedModel; the graph, which could do anything, is not read.

tf_keras writes it to `keras_metadata.pb`; the Keras of TensorFlow before 2.5 into the object graph of `saved_model.pb`.
"""

import json
import math
from pathlib import Path
from typing import Any

from tasks.errors import ModelError
from tasks.foreign import archive

METADATA = "keras_metadata.pb"
GRAPH = "saved_model.pb"
WEIGHTS = Path("variables", "variables")


def described(path: Path) -> archive.Described:
    """What tf_keras noted of the model in a SavedModel.

    Raises:
        ModelError: it is none of tf_keras, or damaged.
    """
    root = _root(path)
    if root.get("class_name") not in ("Functional", "Sequential", "Model"):
        raise ModelError(
            f"{path}: {root.get('class_name')} is a subclassed model, whose layers are joined by its code; "
            "save a Sequential or Functional one"
        )
    return archive.Described({key: root.get(key) for key in ("class_name", "config")}, "2", _numbers(path))


def _root(path: Path) -> dict[str, Any]:
    from google.protobuf.message import DecodeError

    file = path / (METADATA if (path / METADATA).is_file() else GRAPH)
    try:
        text = _noted(file) if file.is_file() else ""
        root = json.loads(text) if text else None
    except (DecodeError, RecursionError, ValueError) as error:
        raise ModelError(f"{file}: damaged: {archive.one_line(error)}") from None
    if root is None:
        raise ModelError(
            f"{path}: no SavedModel of tf_keras ({METADATA} is missing, and {GRAPH} describes no layers); "
            "save the model as .keras, or convert it to .tflite"
        )
    if not isinstance(root, dict):
        raise ModelError(f"{file}: damaged: a mapping is expected, received {type(root).__name__}")
    return root


def _noted(file: Path) -> str:
    """The JSON text about the model itself; empty where there is none."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tf_keras.protobuf import saved_metadata_pb2

    content = file.read_bytes()
    if file.name == METADATA:
        nodes = saved_metadata_pb2.SavedMetadata.FromString(content).nodes
        found = [str(node.metadata) for node in nodes if node.node_path == "root"]
        if not found:
            raise ValueError("it says nothing of the model itself")
        return found[0]
    graphs = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    roots = [graph.object_graph_def.nodes[0] for graph in graphs if graph.object_graph_def.nodes]
    return str(roots[0].user_object.metadata) if roots else ""


def _numbers(path: Path) -> int:
    """How many numbers the variables are.

    Raises:
        ModelError: they are damaged, or their index promises more than there is.
    """
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(path / WEIGHTS))
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except Exception as error:  # the boundary: of a damaged index the reader raises whatever its bytes lead to
        raise ModelError(f"{path}: cannot be read as a model of tf_keras: {archive.one_line(error)}") from None
    numbers = {name: math.prod(shape) for name, shape in shapes.items()}
    promised = sum(count * dtypes[name].size for name, count in numbers.items() if dtypes[name].size)
    held = sum(file.stat().st_size for file in path.glob(f"{WEIGHTS}.data-*"))
    if promised > held:
        raise ModelError(f"{path}: refused: its variables are {promised} bytes, of which it has {held}")
    return sum(numbers.values())
