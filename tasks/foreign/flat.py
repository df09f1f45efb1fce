"""A Keras model as one plain graph in float32: no model within the model, no layer of another precision."""

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tf_keras

FLOATS = ("float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16")  # names of types and of policies


def nested(layer: Any) -> bool:
    """Whether a layer is a model whose own layers are joined by a graph."""
    return hasattr(layer, "layers") and bool(getattr(layer, "_is_graph_network", False))


def precisions(model: "tf_keras.Model") -> list[str]:
    """The policies of its layers that are not float32 throughout, each once: `mixed_float16` computes in halves."""
    found = [layer._dtype_policy.name for layer in model._flatten_layers(include_self=False) if not nested(layer)]
    return sorted({name for name in found if name in FLOATS})


def is_flat(model: "tf_keras.Model") -> bool:
    """Whether it holds no model."""
    return not any(nested(layer) for layer in model.layers)


def flat(model: "tf_keras.Model", inputs: list[Any] | None = None) -> "tf_keras.Model":
    """A Functional model of new layers that computes the same in float32.

    A model within it is replaced by its layers, which keep their names unless these are taken; a flag `training` that
    it was called with goes to them. Outputs keep their names where there are several.

    Args:
        model: Sequential or Functional.
        inputs: the Keras tensors to build upon, in the model's order; None: inputs like its own.
    """
    import tensorflow as tf
    import tf_keras as keras

    if inputs is None:
        pairs = zip(model.input_names, model.inputs, strict=True)
        inputs = [keras.Input(batch_shape=t.shape, dtype=_plain(t.dtype), name=name) for name, t in pairs]
    builder = _Builder(model)
    outputs = builder.run(model, inputs, training=None)
    if len(outputs) > 1:
        outputs = [
            tensor if tensor._keras_history.layer.name == name else keras.layers.Activation("linear", name=name)(tensor)
            for name, tensor in zip(model.output_names, outputs, strict=True)
        ]
    found = keras.Model(_sources(inputs), tf.nest.pack_sequence_as(model.output, outputs), name=model.name)
    builder.fill()
    return found


class _Builder:
    """Calls copies of a graph's layers upon other tensors; a layer that is called twice has one copy."""

    def __init__(self, model: "tf_keras.Model") -> None:
        self._copies: dict[int, tuple[Any, Any]] = {}  # by the layer's id: itself and its copy
        outer = {layer.name for layer in model.layers if not nested(layer)}
        self._taken = outer | (set(model.output_names) if len(model.output_names) > 1 else set())
        self._outer = {id(layer) for layer in model.layers}

    def run(self, model: "tf_keras.Model", given: list[Any], training: bool | None) -> list[Any]:  # noqa: FBT001  # Keras's word, or none
        """What the model gives, upon the tensors `given` in the order of its inputs."""
        import tensorflow as tf

        known = {id(own): tensor for own, tensor in zip(model.inputs, given, strict=True)}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                if node.is_input:
                    continue
                args, kwargs = tf.nest.map_structure(partial(_value, known), (node.call_args, node.call_kwargs))
                found = self._call(node.layer, args, kwargs, training, model.name)
                known |= zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(found), strict=True)
        return [known[id(tensor)] for tensor in model.outputs]

    def _call(self, layer: Any, args: Any, kwargs: dict[str, Any], training: bool | None, within: str) -> Any:  # noqa: FBT001  # likewise
        if nested(layer):
            flag = kwargs.get("training")
            given = [
                layer._conform_to_reference_input(tensor, ref_input=own)  # as the model itself does to what it is given
                for tensor, own in zip(layer._flatten_to_reference_inputs(args[0]), _plain_inputs(layer), strict=True)
            ]
            return self.run(layer, given, training if flag is None else flag)
        if training is not None and layer._call_spec.expects_training_arg and kwargs.get("training") is None:
            kwargs = {**kwargs, "training": training}
        return self._copy(layer, within)(*args, **kwargs)

    def _copy(self, layer: Any, within: str) -> Any:
        if id(layer) not in self._copies:
            config = _float32(layer.get_config())
            if id(layer) not in self._outer:
                config["name"] = self._free(layer.name, within)
            self._copies[id(layer)] = (layer, type(layer).from_config(config))
        return self._copies[id(layer)][1]

    def _free(self, name: str, within: str) -> str:
        candidates = [name, f"{within}_{name}", *(f"{within}_{name}_{i}" for i in range(len(self._taken)))]
        chosen = next(each for each in candidates if each not in self._taken)
        self._taken.add(chosen)
        return chosen

    def fill(self) -> None:
        """Give the copies their weights."""
        for layer, copy in self._copies.values():
            copy.set_weights(layer.get_weights())


def _sources(tensors: list[Any]) -> list[Any]:
    """The model inputs that tensors are made of, one each."""
    import tensorflow as tf

    found = []
    for tensor in tensors:
        node = tensor.node
        while not node.is_input:
            (tensor,) = tf.nest.flatten(node.keras_inputs)
            node = tensor.node
        found.append(tensor)
    return found


def _plain_inputs(model: "tf_keras.Model") -> list[Any]:
    """A model's inputs as they are in float32, for the cast that it begins with."""
    import tensorflow as tf

    return [tf.TensorSpec(tensor.shape, _plain(tensor.dtype)) for tensor in model.inputs]


def _value(known: dict[int, Any], value: Any) -> Any:
    """An argument of a call: the tensor that stands for it, or the same constant in float32."""
    import tensorflow as tf

    if id(value) in known:
        return known[id(value)]
    if isinstance(value, tf.DType):
        return _plain(value)
    wide = getattr(value, "dtype", None) is not None and tf.as_dtype(value.dtype).name in FLOATS
    return tf.cast(value, tf.float32) if wide else value


def _plain(dtype: Any) -> Any:
    import tensorflow as tf

    return tf.float32 if tf.as_dtype(dtype).is_floating else tf.as_dtype(dtype)


def _float32(config: Any) -> Any:
    """A configuration whose types and policies of floats are float32, those of wrapped layers too."""
    if isinstance(config, dict):
        if config.get("class_name") in ("Policy", "PolicyV1") and config.get("config", {}).get("name") in FLOATS:
            return "float32"
        return {
            key: "float32" if key == "dtype" and isinstance(value, str) and value in FLOATS else _float32(value)
            for key, value in config.items()
        }
    return type(config)(map(_float32, config)) if type(config) in (list, tuple) else config
