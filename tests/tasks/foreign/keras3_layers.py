"""Models of Keras 3 with its layers side by side, each an output, for `keras3_files.py`."""

import keras
import numpy as np
from keras import layers

PRECISIONS = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64")
SERIES, IMAGE, VOLUME = (6, 8), (8, 8, 4), (4, 4, 4, 2)
OF_A_SERIES = [
    lambda x: layers.Dense(3, activation="hard_silu")(x), lambda x: layers.Dense(3, activation="hard_sigmoid")(x),
    lambda x: layers.Dense(3, activation="leaky_relu")(x), lambda x: layers.Dense(3, activation="log_softmax")(x),
    lambda x: layers.Dense(3, activation=layers.LeakyReLU(negative_slope=0.3))(x),
    lambda x: layers.Activation("glu")(x), lambda x: layers.Activation("hard_tanh")(x),
    lambda x: layers.Activation("squareplus")(x),
    lambda x: layers.EinsumDense("btc,cd->btd", (None, 5), bias_axes="d", activation="relu6")(x),
    lambda x: layers.Conv1D(3, 3, dilation_rate=2)(x), lambda x: layers.Conv1D(4, 3, padding="causal", groups=2)(x),
    lambda x: layers.SeparableConv1D(3, 3)(x), lambda x: layers.DepthwiseConv1D(3)(x),
    lambda x: layers.Conv1DTranspose(3, 3, strides=2)(x), lambda x: layers.RMSNormalization()(x),
    lambda x: layers.RMSNormalization(epsilon=0.1)(x), lambda x: layers.UnitNormalization()(x),
    lambda x: layers.LayerNormalization(axis=[1, 2])(x), lambda x: layers.GroupNormalization(4)(x),
    lambda x: layers.Softmax(axis=1)(x), lambda x: layers.Attention(use_scale=True)([x, x]),
    lambda x: layers.Attention()([x[:, 1:], x]), lambda x: layers.AdditiveAttention()([x, x]),
    lambda x: layers.MultiHeadAttention(2, 4)(x[:, :2], x), lambda x: layers.Dot(axes=2)([x, x]),
    lambda x: layers.MultiHeadAttention(2, 4, value_dim=3, output_shape=5)(x, x, use_causal_mask=True),
    lambda x: layers.MultiHeadAttention(2, 4)(x, x, return_attention_scores=True)[1],
    lambda x: layers.SimpleRNN(4)(x), lambda x: layers.LSTM(4, go_backwards=True)(layers.Masking()(x)),
    lambda x: layers.GRU(4, reset_after=False)(x), lambda x: layers.GRU(3, activation="relu6")(x),
    lambda x: layers.LSTM(8, return_state=True)(x, initial_state=[x[:, 0], x[:, 1]])[2], lambda x: layers.GRU(4)(x),
    lambda x: layers.Bidirectional(layers.SimpleRNN(4), merge_mode="sum")(x),
    lambda x: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])(x),
    lambda x: layers.TimeDistributed(layers.Dense(3, activation="relu6"))(x), lambda x: layers.Cropping1D(1)(x),
    lambda x: layers.ZeroPadding1D((1, 2))(x), lambda x: layers.UpSampling1D(2)(x),
    lambda x: layers.Permute((2, 1))(x), lambda x: layers.RepeatVector(3)(x[:, 0]), lambda x: layers.Identity()(x),
    lambda x: layers.Flatten()(x), lambda x: layers.PReLU(shared_axes=[1])(x), lambda x: layers.ELU(alpha=0.5)(x),
    lambda x: layers.ReLU(1, 0.1, 0.2)(x),
    lambda x: layers.Average()([x, x[:, ::-1]]), lambda x: layers.GlobalMaxPooling1D(keepdims=True)(x),
    lambda x: layers.AveragePooling1D(3, 1, "same")(x),
    lambda x: layers.Discretization(bin_boundaries=[-0.5, 0.0, 0.5])(x),
    lambda x: layers.Rescaling([2.0] * 8, 1.0)(x),
    lambda x: layers.CategoryEncoding(4)(keras.ops.argmax(x, 1) % 4), lambda x: layers.Add()([x, x, x]),
]  # fmt: skip
OF_AN_IMAGE = [
    lambda x: layers.Conv2D(6, 3, strides=2, padding="same", activation="silu")(x),
    lambda x: layers.Conv2D(4, 3, groups=2)(x),
    lambda x: layers.Conv2DTranspose(3, 3, strides=2, padding="same", output_padding=1)(x),
    lambda x: layers.SeparableConv2D(5, 3, depth_multiplier=2)(x), lambda x: layers.DepthwiseConv2D(3, (1, 1))(x),
    lambda x: layers.Conv2D(3, 3, activation="hard_sigmoid", use_bias=False)(x),
    lambda x: layers.SpatialDropout2D(0.3)(x), lambda x: layers.UpSampling2D((2, 3), interpolation="bilinear")(x),
    lambda x: layers.UpSampling2D(2)(x), lambda x: layers.ZeroPadding2D(((1, 0), (2, 1)))(x),
    lambda x: layers.Cropping2D(((1, 0), (2, 1)))(x), lambda x: layers.Resizing(5, 9)(x),
    lambda x: layers.Resizing(4, 4, "nearest")(x), lambda x: layers.CenterCrop(5, 4)(x),
    lambda x: layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 9.0, 0.5])(x),
    lambda x: layers.BatchNormalization(scale=False)(x), lambda x: layers.GroupNormalization(-1)(x),
    lambda x: layers.GlobalAveragePooling2D(keepdims=True)(x), lambda x: layers.MaxPooling2D(3, 2, "same")(x),
    lambda x: layers.TimeDistributed(layers.Conv1D(3, 3))(x), lambda x: layers.ConvLSTM1D(3, 2)(x),
    lambda x: layers.Reshape((4, -1))(x), lambda x: layers.GaussianNoise(0.1)(x), lambda x: layers.RandomFlip()(x),
    lambda x: layers.EinsumDense("bhwc,cd->bhwd", (None, None, 3))(x),
    lambda x: layers.LeakyReLU(negative_slope=0.2)(x),
]  # fmt: skip
OF_A_VOLUME = [
    lambda x: layers.Conv3D(3, 2)(x), lambda x: layers.Conv3DTranspose(3, 2, strides=2)(x),
    lambda x: layers.ConvLSTM2D(3, 2)(x), lambda x: layers.MaxPooling3D(2)(x),
    lambda x: layers.GlobalAveragePooling3D()(x), lambda x: layers.UpSampling3D(2)(x),
    lambda x: layers.ZeroPadding3D(1)(x), lambda x: layers.Cropping3D(1)(x),
    lambda x: layers.SpatialDropout3D(0.2)(x), lambda x: layers.TimeDistributed(layers.SeparableConv2D(3, 2))(x),
    lambda x: layers.AveragePooling3D(2)(x),
]  # fmt: skip


def beside(shape, made):
    inputs = layers.Input(shape)
    return keras.Model(inputs, [make(inputs) for make in made])


def words():
    """Masks from an embedding on, through layers and past operations; fused LSTMs take seconds each to be built."""
    inputs = layers.Input((8,), dtype="int32")
    x = layers.Embedding(30, 6, mask_zero=True)(inputs)
    position = np.arange(8 * 6).reshape(8, 6) / 50
    attended = layers.MultiHeadAttention(2, 3)(x, x)
    given = layers.SimpleRNN(5)(x * 2.0, mask=keras.ops.not_equal(inputs, 0))
    return keras.Model(inputs, [
        layers.LSTM(5)(x), layers.SimpleRNN(4)(x + position), layers.SimpleRNN(3)(x + x),
        layers.SimpleRNN(3)(layers.Add()([x, x])),
        layers.GlobalAveragePooling1D()(x), layers.GlobalAveragePooling1D()(keras.ops.relu(x)), attended, given,
        layers.Attention()([x, x]), layers.Bidirectional(layers.SimpleRNN(2))(layers.Dropout(0.1)(x)),
        layers.SimpleRNN(3)(layers.Concatenate()([x, x])), keras.ops.mean(x, axis=1),
    ])  # fmt: skip


def block(x):
    """One of a transformer, whose attention takes the mask off what it is called on."""
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)]))
    return layers.LayerNormalization()(layers.Add()([x, layers.Dense(6)(x)]))


def merged():
    """What has a mask and what has none, or another, merged; of so many words that hardly any draw is padding."""
    title, body = layers.Input((8,), dtype="int32", name="title"), layers.Input((8,), dtype="int32", name="body")
    x, y = (layers.Embedding(5000, 6, mask_zero=True)(each) for each in (title, body))
    plain, mean = layers.Embedding(5000, 6)(title), layers.GlobalAveragePooling1D()
    attended, other = (layers.Embedding(5000, 6, mask_zero=True)(title) for _ in range(2))
    return keras.Model([title, body], [
        mean(layers.Add()([x, plain])), layers.SimpleRNN(3)(layers.Add()([plain, x])),
        mean(layers.Average()([x, y])), layers.SimpleRNN(3)(layers.Subtract()([x, y])),
        mean(layers.Concatenate()([x, plain])), layers.SimpleRNN(3)(layers.Concatenate()([x, plain])),
        mean(layers.Concatenate()([x, y])), mean(layers.Concatenate(axis=1)([x, plain])),
        mean(layers.Concatenate(axis=1)([x, y])), mean(layers.Multiply()([x, layers.Dense(6)(x)])),
        mean(block(block(attended))), mean(block(layers.Add()([x, plain]))), mean(layers.Add()([x, other])),
    ])  # fmt: skip


def series():
    inputs = layers.Input((8, 6), name="steps")
    return keras.Model(inputs, layers.SimpleRNN(3)(layers.Add()([layers.Masking(-1.5)(inputs), inputs])))


def words_as_floats():
    """As an Input has them that says nothing of its type."""
    return keras.Sequential([
        layers.Input((8,)), layers.Embedding(5000, 6, mask_zero=True), layers.GlobalAveragePooling1D(),
    ])  # fmt: skip


def gated_words():
    """A product in which Keras 3 counts what is masked as 1."""
    inputs = layers.Input((8,), dtype="int32")
    x = layers.Multiply()([layers.Embedding(5000, 6, mask_zero=True)(inputs), layers.Embedding(5000, 6)(inputs)])
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(x))


def gated_series():
    inputs = layers.Input((8, 6))
    x = layers.Multiply()([layers.Masking(-1.5)(inputs), layers.Dense(6)(inputs)])
    return keras.Model(inputs, layers.GlobalAveragePooling1D()(x))


def structured():
    """Models within models, called several times, with inputs and outputs in lists and mappings."""
    a, b = layers.Input((4,), name="a"), layers.Input((4,), name="b")
    two = keras.Model({"a": a, "b": b}, {"sum": a + b, "product": layers.Multiply(name="product")([a, b])}, name="two")
    left, right = layers.Input((4,), name="left"), layers.Input((4,), name="right")
    shared = layers.Dense(4, activation="hard_silu", name="shared")
    first = two({"a": shared(left), "b": shared(right)})
    second = two({"a": first["product"], "b": shared(first["sum"])})
    inner = keras.Sequential([layers.Input((4,)), keras.Sequential([layers.Dense(4), layers.ReLU()]), layers.Dense(4)])
    x = layers.Concatenate()([inner(second["sum"]), inner(second["product"])])
    one, other = keras.ops.split(x, 2, axis=-1)
    return keras.Model([left, right], {"z": one, "y": [other, layers.Dense(2, name="last")(x)]})


def named():
    """Names that TensorFlow has no scope for; two would be one without their signs."""
    x = inputs = layers.Input((6,), name="given")
    x = layers.Dense(4, name="first layer")(x)
    inner = keras.Sequential([layers.Input((4,)), layers.Dense(4, name="größe")], name="a model+")
    x = layers.Dense(4, name="first_layer")(inner(x)) + x
    return keras.Model(inputs, [layers.Dense(2, name="_end")(x), layers.Dense(2, name="end:2")(x)], name="my model")


def adapted():
    """Low-rank weights beside a kernel."""
    x = inputs = layers.Input((6,), name="given")
    wide = layers.Dense(8)
    model = keras.Model(inputs, layers.Dense(2)(wide(x)))
    wide.enable_lora(2)
    return model


def precise(policy):
    """A network of another precision than float32: of each layer, and of what it casts to by itself."""
    x = inputs = layers.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, activation="relu", dtype=policy)(x)
    x = layers.BatchNormalization(dtype=policy)(x)
    x = keras.ops.cast(layers.MaxPooling2D(dtype=policy)(x), policy.removeprefix("mixed_")) * 0.5
    x = layers.Dense(6, dtype=keras.DTypePolicy(policy))(layers.Flatten(dtype=policy)(x))
    return keras.Model(inputs, layers.Softmax(dtype="float32")(x))


def mobile():
    """keras.applications, small."""
    return keras.applications.MobileNetV3Small(
        (32, 32, 3), alpha=0.35, minimalistic=False, weights=None, classes=5, include_preprocessing=True
    )


def efficient():
    return keras.applications.EfficientNetV2B0(weights=None, input_shape=(32, 32, 3), classes=5)


def convnext():
    inputs = layers.Input((32, 32, 3))
    build = keras.applications.ConvNeXtTiny
    return build(weights=None, input_tensor=inputs, classes=5, include_preprocessing=True)


PADDED = {"merged": 0, "words_as_floats": 0, "series": -1.5}  # whose inputs are padded, with what
DEEP = ("mobile", "efficient", "convnext")
MODELS = {
    "layers_of_a_series": lambda: beside(SERIES, OF_A_SERIES),
    "layers_of_an_image": lambda: beside(IMAGE, OF_AN_IMAGE),
    "layers_of_a_volume": lambda: beside(VOLUME, OF_A_VOLUME),
    "words": words,
    "merged": merged,
    "series": series,
    "words_as_floats": words_as_floats,
    "gated_words": gated_words,
    "gated_series": gated_series,
    "structured": structured,
    "named": named,
    "adapted": adapted,
    **{policy: lambda policy=policy: precise(policy) for policy in PRECISIONS},
    "mobile": mobile,
    "efficient": efficient,
    "convnext": convnext,
}
