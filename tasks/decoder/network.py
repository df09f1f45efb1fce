"""The decoder as a tf_keras model: Functional, of Keras's own layers and those of `training/attention.py`.

So whatever trains, compresses, saves or converts Keras models takes it as it is. Layers bear the names of the spec's
parts.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tasks.decoder.spec import Block, DecoderSpec
from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras

Array = NDArray[Any]
LOGITS = "logits"


def build(spec: DecoderSpec, length: int | None = None, name: str = "tokens") -> "tf_keras.Model":
    """A decoder of new weights: int32 [batch, length] gives float32 [batch, length, vocabulary], scores before softmax.

    Args:
        spec: its sizes and switches.
        length: of a window; None: any.
        name: of the input.
    """
    import tf_keras as keras

    tokens = keras.Input((length,), dtype="int32", name=name)
    return keras.Model(tokens, _Parts(spec).run(tokens), name="decoder")


class _Parts:
    """The definition: what stands behind what, part by part."""

    def __init__(self, spec: DecoderSpec) -> None:
        self.spec, self.shapes = spec, spec.shapes()

    def run(self, tokens: Any) -> Any:
        import tf_keras as keras

        from tasks.training.attention import PlaceEmbedding, Places, SoftCap, TokenEmbedding

        spec = self.spec
        embedding = TokenEmbedding(spec.vocabulary, spec.width, name="embedding")
        places = Places(spec.room, name="place_of_each")(tokens)
        x = _scaled(embedding(tokens), spec.embedding_scale)
        if spec.places is not None:
            x = keras.layers.Add()([x, PlaceEmbedding(spec.places, spec.width, spec.offset, name="places")(places)])
        for number, block in enumerate(spec.blocks):
            x = self._layer(x, places, block, f"layer_{number}_")
        x = self._norm(x, "norm")
        x = embedding(x) if spec.tied else self._dense(x, "head")
        x = _scaled(x, spec.logit_scale)
        if spec.logit_cap is not None:
            x = SoftCap(spec.logit_cap)(x)
        return keras.layers.Activation("linear", name=LOGITS)(x)

    def _layer(self, x: Any, places: Any, block: Block, prefix: str) -> Any:
        import tf_keras as keras

        spec, before, normed = self.spec, x, self._norm(x, "attention_norm", prefix)
        attended = self._attention(normed, places, block, prefix)
        attended = _scaled(self._norm(attended, "attention_after", prefix), spec.residual_scale)
        if spec.parallel:
            fed = self._feed_forward(normed if spec.shared_norm else self._norm(x, "feed_norm", prefix), prefix)
            return keras.layers.Add()([before, attended, _scaled(fed, spec.residual_scale)])
        x = keras.layers.Add()([before, attended])
        fed = self._feed_forward(self._norm(x, "feed_norm", prefix), prefix)
        fed = _scaled(self._norm(fed, "feed_after", prefix), spec.residual_scale)
        return keras.layers.Add()([x, fed])

    def _attention(self, x: Any, places: Any, block: Block, prefix: str) -> Any:
        from tasks.training.attention import Attend

        spec = self.spec
        query, key, value = (self._dense(x, part, prefix) for part in ("query", "key", "value"))
        each = spec.query_norm == "head"
        query = self._norm(query, "query_norm", prefix, spec.heads if each else None)
        key = self._norm(key, "key_norm", prefix, spec.kv_heads if each else None)
        attend = Attend(
            spec.heads, spec.kv_heads, block.frequencies, spec.attention_scale, spec.attention_cap, block.window,
            name=f"{prefix}attend",
        )  # fmt: skip
        return self._dense(attend([query, key, value, places]), "output", prefix)

    def _feed_forward(self, x: Any, prefix: str) -> Any:
        import tf_keras as keras

        from tasks.training.attention import GeluTanh

        name, kind = f"{prefix}activation", self.spec.activation
        up = self._dense(x, "up", prefix)
        bent = self._dense(x, "gate", prefix) if self.spec.gated else up
        bent = (GeluTanh(name=name) if kind == "gelu_tanh" else keras.layers.Activation(kind, name=name))(bent)
        if self.spec.gated:
            bent = keras.layers.Multiply()([bent, up])
        return self._dense(bent, "down", prefix)

    def _norm(self, x: Any, part: str, prefix: str = "", heads: int | None = None) -> Any:
        """The norm of that name, where there is one; of so many heads of `x` each alone, or of all."""
        import tf_keras as keras

        from tasks.training.layers import RMSNormalization

        name, epsilon = f"{prefix}{part}", self.spec.epsilon
        if f"{name}.weight" not in self.shapes:
            return x
        if self.spec.norm == "rms":
            return RMSNormalization(epsilon=epsilon, heads=heads, name=name)(x)
        return keras.layers.LayerNormalization(epsilon=epsilon, center=f"{name}.bias" in self.shapes, name=name)(x)

    def _dense(self, x: Any, part: str, prefix: str = "") -> Any:
        import tf_keras as keras

        name = f"{prefix}{part}"
        return keras.layers.Dense(self.shapes[f"{name}.weight"][0], use_bias=f"{name}.bias" in self.shapes, name=name)(
            x
        )


def _scaled(x: Any, scale: float) -> Any:
    import tf_keras as keras

    return x if scale == 1 else keras.layers.Rescaling(scale)(x)


def fill(model: "tf_keras.Model", weights: Iterable[tuple[str, Array]]) -> None:
    """Give the layers their weights, one after the other.

    Args:
        model: of `build`.
        weights: float32, by the names of `DecoderSpec.shapes`; matrices are [outputs, inputs].

    Raises:
        ModelError: a weight is missing, or has no place.
    """
    left = dict(variables(model))
    for name, value in weights:
        if name not in left:
            raise ModelError(f"decoder: no part is called {name!r}, or it came twice")
        variable, turned = left.pop(name)
        variable.assign(value.T if turned else value)
    if left:
        raise ModelError(f"decoder: no weights of {', '.join(sorted(left)[:5])}")


def variables(model: "tf_keras.Model") -> list[tuple[str, tuple[Any, bool]]]:
    """Each variable of a decoder by its name in `DecoderSpec.shapes`, and whether it is stored the other way round."""
    import tf_keras as keras

    found = []
    for layer in model.layers:
        turned = isinstance(layer, keras.layers.Dense)
        for variable, kind in zip(layer.weights, ("weight", "bias"), strict=False):
            found.append((f"{layer.name}.{kind}", (variable, turned and kind == "weight")))
    return found


def weights(model: "tf_keras.Model") -> Iterable[tuple[str, Array]]:
    """What `fill` takes: float32 by name, matrices [outputs, inputs]."""
    for name, (variable, turned) in variables(model):
        value = variable.numpy()
        yield name, value.T if turned else value
