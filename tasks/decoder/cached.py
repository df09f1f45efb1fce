"""A decoder that keeps what its layers made of a text: the same network with the same weights, upon caches."""

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from tasks.decoder.network import LOGITS
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

KEYS, VALUES = "kv_cache_k_{}", "kv_cache_v_{}"  # as LiteRT-LM calls them; the number is the layer's
SCALES = "kv_scale_k_{}", "kv_scale_v_{}"  # which it does not know


def is_decoder(model: "tf_keras.Model") -> bool:
    """Whether there is a form of a model with caches: a layer of it counts the places of its tokens."""
    return _places(model) is not None


def limit(model: "tf_keras.Model") -> int | None:
    """How many tokens a decoder was made for; None: it does not say."""
    places = _places(model)
    return None if places is None else places.room


def _places(model: "tf_keras.Model") -> Any:
    from tasks.training.attention import Places

    return next((layer for layer in model.layers if isinstance(layer, Places)), None)


def rounding(model: "tf_keras.Model", cache: str | None) -> "tf_keras.Model":
    """A decoder that attends to what such caches keep of its keys and values; its other layers are those of `model`."""
    import tensorflow as tf
    import tf_keras as keras

    from tasks.training.attention import Attend

    if cache is None:
        return model
    (given,) = model.inputs
    tokens = keras.Input(batch_shape=given.shape, dtype=given.dtype, name=model.input_names[0])
    known = {id(given): tokens}

    def attend(layer: Any, args: Any, kwargs: Any) -> Any:
        return (_keeping(layer, cache) if isinstance(layer, Attend) else layer)(*args, **kwargs)

    _follow(model, known, attend)
    return keras.Model(tokens, tf.nest.map_structure(partial(standing_for, known), model.output), name=model.name)


def _keeping(layer: Any, cache: str | None) -> Any:
    """A layer that attends as another does, upon such caches."""
    return layer if layer.cache == cache else type(layer).from_config({**layer.get_config(), "cache": cache})


def _follow(model: "tf_keras.Model", known: dict[int, Any], call: Callable[[Any, Any, Any], Any]) -> None:
    """Call each layer of a graph in order, on what stands for what it was called on; add what it gives to `known`."""
    import tensorflow as tf

    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            given = (node.call_args, node.call_kwargs)
            args, kwargs = tf.nest.map_structure(partial(standing_for, known), given)
            found = call(node.layer, args, kwargs)
            known |= zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(found), strict=True)


def cached(model: "tf_keras.Model", length: int, room: int, cache: str | None = None) -> "tf_keras.Model":
    """The decoder called on tokens in a row, behind those that the caches hold.

    Its layers are those of `model`, so what changes their weights changes both. It follows the model's graph as it is,
    one that was compressed too, up to the scores: what is made of these, such as the answer of a window, it leaves out.

    Inputs, by name: `tokens` int32 [1, length], `input_pos` int32 [length], the place of each, one behind the other,
    and for each layer i `kv_cache_k_i` and `kv_cache_v_i`, float32 [1, kv_heads, room, head_width], zeros in the
    beginning. Outputs, by name: `logits` float32 [1, length, vocabulary], and the caches with the new tokens in place.
    The last place must be less than `room`. With `cache` int8 the caches are integers, and `kv_scale_k_i` and
    `kv_scale_v_i`, float32 [1, kv_heads, room, 1], their scales; see `Attend`.

    Raises:
        ModelError: the model is no decoder of one input.
    """
    import tf_keras as keras

    from tasks.training.attention import Attend, Places

    if not is_decoder(model) or len(model.inputs) != 1:
        raise ModelError(f"{model.name}: no decoder: it has no layer that counts the places of its tokens")
    model = keras.Model(model.input, model.get_layer(LOGITS).output, name=model.name)
    tokens = keras.Input(batch_shape=(1, length), dtype="int32", name="tokens")
    places = keras.Input(batch_shape=(length,), dtype="int32", name="input_pos")
    known = {id(model.inputs[0]): tokens}
    inputs, outputs = {"tokens": tokens, "input_pos": places}, dict[str, Any]()
    attends = count()

    def call(layer: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(layer, Places):
            return places[None]
        if not isinstance(layer, Attend):
            return layer(*args, **kwargs)
        caches = _caches(next(attends), layer.kv_heads, args[0], room, cache)
        found, *written = _keeping(layer, cache)([*args[0], *caches.values()])
        inputs.update(caches)
        outputs.update(zip(caches, written, strict=True))
        return found

    _follow(model, known, call)
    logits = known[id(model.output)]
    return keras.Model(inputs, {LOGITS: logits, **outputs}, name=f"{model.name}_{length}")


def standing_for(known: dict[int, Any], value: Any) -> Any:
    """What is known of a tensor of the graph, by its id; anything else is itself."""
    return known.get(id(value), value)


def _caches(number: int, heads: int, given: Any, room: int, cache: str | None) -> dict[str, Any]:
    """A layer's caches by name, in the order in which it takes them."""
    import tf_keras as keras

    _, key, value, _ = given
    widths = {name: tensor.shape[-1] // heads for name, tensor in ((KEYS, key), (VALUES, value))}
    widths |= dict.fromkeys(SCALES if cache else (), 1)
    return {
        name.format(number): keras.Input(
            batch_shape=(1, heads, room, width),
            dtype="float32" if cache is None or name in SCALES else cache,
            name=name.format(number),
        )
        for name, width in widths.items()
    }


def empty(model: "tf_keras.Model") -> dict[str, Any]:
    """The caches of no text, for a model of `cached`: zeros."""
    import tensorflow as tf

    return {name: tf.zeros(tensor.shape, tensor.dtype) for name, tensor in model.input.items() if name.startswith("kv")}
