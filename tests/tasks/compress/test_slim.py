"""slim: removing is masking, the shares asked for are reached, and the scores are what they are called."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.channels import cost, saliency, surgery
from tasks.channels.tracing import trace
from tasks.compress import slim
from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import Spec, TensorSpec
from tasks.formats import cost as file_cost
from tasks.models import dscnn, mobilenet_v2, resnet
from tasks.params import Dscnn, MobilenetV2, Resnet, Slim
from tasks.quantize import litert
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
layers = keras.layers
SPEC = Spec({"image": TensorSpec((16, 16, 3), "float32")}, tuple("abcd"))


@pytest.fixture(autouse=True)
def _fresh():
    fit.reset(0)


def params(**keys):
    return Slim(**{"method": "slim", "parent": "baseline", "epochs": 0, "batch_size": 16, **keys})


def ignore(_epoch, _metrics):
    pass


def answers(model, inputs):
    found = model(inputs, training=False)
    return [np.asarray(x) for x in (found if isinstance(found, list) else [found])]


def shrink(model, train, **keys):
    return slim.apply(model, params(**keys), train, train, ignore)[0]


def share(model, slimmed):
    of = [sum(c.macs for c in cost.of(m).values()) for m in (slimmed, model)]
    return of[0] / of[1]


def silence(model, channels, kept):
    """Set to zero what reads the channels that are not kept; what makes them, where nothing reads them by a weight."""
    cuts = [(layer, cut) for layer in model.layers for cut in channels.cuts.get(layer.name, ())]
    read = {group for _, cut in cuts if cut.role == "reads" for group in cut.channels.tolist()}
    for layer, cut in cuts:
        heard = cut.role == "reads" or (cut.role == "makes" and not read & set(cut.channels.tolist()))
        if heard:
            weights = layer.get_weights()
            np.moveaxis(weights[cut.weight], cut.axis, 0)[~kept[cut.channels]] = 0
            layer.set_weights(weights)


def half(channels, seed=0):
    """Half of the groups of each block, at random."""
    kept, rng = channels.everything(), np.random.default_rng(seed)
    for block in channels.blocks:
        kept[rng.permutation(block)[: len(block) // 2]] = False
    return kept


@settings(max_examples=settings.default.max_examples // 4)
@given(data=st.data())
def test_removing_is_masking_for_random_networks(architectures, data):
    keras.backend.clear_session()
    model = architectures.build(data.draw(architectures.models()))
    inputs = architectures.examples(model, 4).inputs
    channels = trace(model)
    kept = half(channels)
    slimmed = surgery.remove(model, channels, kept)
    before = answers(model, inputs)
    silence(model, channels, kept)
    for masked, removed in zip(answers(model, inputs), answers(slimmed, inputs), strict=True):
        np.testing.assert_allclose(removed, masked, atol=1e-5)
    assert cost.total(model, channels, kept).parameters == slimmed.count_params()
    assert len(before) == len(slimmed.outputs)


@settings(max_examples=settings.default.max_examples // 6)
@given(data=st.data())
def test_random_networks_are_slimmed_within_the_budget_or_refused_by_name(architectures, data):
    keras.backend.clear_session()
    model = architectures.build(data.draw(architectures.models()))
    train = architectures.examples(model, 16)
    keep = data.draw(st.sampled_from([0.3, 0.6, 0.9]))
    keys = {
        "score": data.draw(st.sampled_from(["taylor", "l1", "bn"])),
        "scope": data.draw(st.sampled_from(["global", "uniform"])),
    }
    try:
        slimmed = shrink(model, train, keep=keep, **keys)
    except ModelError as error:
        said = str(error)
    else:
        said = None
    if said is not None:
        assert any(f"'{name}'" in said for name in [model.name, *(layer.name for layer in model.layers)])
        return
    assert keep - 0.05 <= share(model, slimmed) <= keep
    assert slimmed.input_names == model.input_names
    assert slimmed.output_names == model.output_names
    assert [layer.name for layer in slimmed.layers] == [layer.name for layer in model.layers]
    for old, new in zip(answers(model, train.inputs), answers(slimmed, train.inputs), strict=True):
        assert old.shape == new.shape


def network(read=lambda _name, x: x):
    """Residual, depthwise, concatenation and attention by hand; `read` sees each tensor where it is consumed.

    It is called with the name of the layer that made the tensor's channels.
    """
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="bn1")(x))
    inner = layers.Conv2D(12, 1, name="expand")(read("stem", x))
    inner = layers.ReLU(6.0)(layers.BatchNormalization(name="bn2")(inner))
    inner = layers.BatchNormalization(name="bn3")(layers.DepthwiseConv2D(3, padding="same", name="depthwise")(inner))
    x = layers.Add()([x, layers.Conv2D(8, 1, name="shrink")(read("expand", inner))])
    side = layers.Conv2D(6, 3, padding="same", activation="relu", name="side")(read("stem", x))
    both = layers.Concatenate()([read("stem", x), read("side", side)])
    x = layers.Reshape((16, 10))(layers.MaxPooling2D(2)(layers.Conv2D(10, 1, name="mix")(both)))
    # a head is heard where its values are: a mask on the output's kernel, which `read` cannot see
    x = layers.Add()([x, layers.MultiHeadAttention(4, 3, name="heads")(read("mix", x), read("mix", x))])
    x = layers.Flatten()(read("mix", x))
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="output")(x), name="network")


def images(count=48, classes=4):
    rng = np.random.default_rng(1)
    label = rng.integers(0, classes, count)
    image = rng.normal(size=(count, 8, 8, 3)).astype(np.float32)
    image[np.arange(count), label] += 1
    return Arrays({"image": image}, {"label": label})


def test_removing_is_multiplying_with_zero_where_the_channels_are_read(architectures):
    model = network()
    architectures.randomize(model)
    channels = trace(model)
    kept = half(channels, seed=3)
    masks = {name: kept[made].astype(np.float32) for name, made in channels.made.items()}
    masked = network(lambda name, x: layers.Rescaling(masks[name].tolist())(x))
    masked.set_weights(model.get_weights())
    heads = masked.get_layer("heads")
    weights = heads.get_weights()
    weights[6] *= masks["heads"][:, None, None]  # the output's kernel
    heads.set_weights(weights)
    slimmed = surgery.remove(model, channels, kept)
    assert slimmed.get_layer("expand").filters == 6
    assert slimmed.get_layer("heads")._num_heads == 2
    inputs = images().inputs
    np.testing.assert_allclose(answers(slimmed, inputs), answers(masked, inputs), atol=1e-5)
    assert np.abs(answers(slimmed, inputs)[0] - answers(model, inputs)[0]).max() > 1e-3


FAMILIES = {
    "resnet-8": (resnet.build, Resnet(family="resnet")),
    "ds-cnn": (dscnn.build, Dscnn(family="dscnn", filters=32, blocks=2)),
    "mobilenet-v2": (mobilenet_v2.build, MobilenetV2(family="mobilenet_v2", width=0.1)),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param("resnet-8", marks=pytest.mark.slow), "ds-cnn", pytest.param("mobilenet-v2", marks=pytest.mark.slow)],
)
def test_the_reference_families_lose_half_their_products(architectures, name):
    build, family = FAMILIES[name]
    model = build(family, SPEC)
    architectures.randomize(model)
    train = architectures.examples(model, 8)
    before = [weight.copy() for weight in model.get_weights()]
    slimmed = shrink(model, train, keep=0.5)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    channels = trace(model)
    kept = channels.everything()
    scores = saliency.score(model, channels, train, params(keep=0.5))
    for layer, made in channels.made.items():  # the choice is told by the widths: the best scores stay
        groups = np.array([group for group in made if group not in channels.fixed], int)
        left = slimmed.get_layer(layer).get_weights()[0].shape[-1] - (len(made) - len(groups))
        kept[groups[np.argsort(scores[groups], kind="stable")][: len(groups) - left]] = False
    silence(model, channels, kept)
    np.testing.assert_allclose(answers(slimmed, train.inputs), answers(model, train.inputs), atol=1e-5)
    assert 0.45 <= share(model, slimmed) <= 0.5
    if name != "ds-cnn":
        assert sum(c.macs for c in cost.of(slimmed).values()) == products(slimmed)


def products(model):
    """The multiplications of the LiteRT file that the model becomes."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(litert.convert(model, "float32", None))
        return sum(operator.macs for operator in file_cost.read(path))


@pytest.mark.parametrize("kind", ["image", "sequence"])
def test_products_are_those_of_the_converted_file(architectures, kind):
    steps = {
        "image": (("conv", 5, 3, 2, "relu"), ("separable", 6), ("depthwise", 2), ("inverted", 2), ("gate",)),
        "sequence": (("conv", 5, 3, 1, None), ("attention", 2, 3), ("attend", 7), ("dense", 4, "relu")),
    }[kind]
    model = architectures.build(architectures.Architecture((architectures.Branch(kind, 3, steps),)))
    found = cost.of(model)
    assert sum(c.macs for c in found.values()) == products(model)
    assert sum(c.parameters for c in found.values()) == model.count_params()


def test_transposed_and_distributed_layers_are_counted():
    inputs = keras.Input((3, 4, 4, 2))
    x = layers.TimeDistributed(layers.Conv2DTranspose(5, 3, strides=2, name="inner"), name="up")(inputs)
    model = keras.Model(inputs, layers.TimeDistributed(layers.Dense(2))(layers.TimeDistributed(layers.Flatten())(x)))
    assert cost.of(model)["up"].macs == 3 * (4 * 4 * 2) * (3 * 3 * 5)  # each input under the whole kernel
    train = Arrays({"input_1": np.ones((2, 3, 4, 4, 2), np.float32)}, {"label": np.zeros(2, int)})
    slimmed = shrink(model, train, widths={"up": 2}, score="l1")
    assert slimmed.get_layer("up").output_shape[-1] == 2
    channels = trace(model)
    (block,) = channels.blocks
    kept = channels.everything()
    scores = saliency.score(model, channels, train, params(widths={"up": 2}, score="l1"))
    kept[block[np.argsort(scores[block])][:3]] = False
    silence(model, channels, kept)
    np.testing.assert_allclose(answers(slimmed, train.inputs), answers(model, train.inputs), atol=1e-5)


def test_taylor_is_the_gradient_of_a_gate_where_channels_are_read(architectures):
    import tensorflow as tf

    model = network()
    architectures.randomize(model)
    channels, train = trace(model), images(32)
    found = saliency.score(model, channels, train, params(keep=0.5, score="taylor"))
    gates = {name: tf.Variable(tf.ones(len(made))) for name, made in channels.made.items()}

    class Gate(layers.Layer):
        def __init__(self, which):
            super().__init__()
            self.which = which

        def call(self, x):
            return x * gates[self.which]

    gated = network(lambda name, x: Gate(name)(x))
    gated.set_weights(model.get_weights())
    order = np.random.default_rng(0).permutation(32)  # the batches of seed 0
    names = ["stem", "expand", "side", "mix"]
    squares = dict.fromkeys(names, 0.0)
    for batch in (order[:16], order[16:]):
        with tf.GradientTape() as tape:
            predicted = gated(train.inputs["image"][batch], training=False)
            loss = tf.reduce_mean(
                keras.losses.sparse_categorical_crossentropy(train.targets["label"][batch], predicted)
            )
        slopes = tape.gradient(loss, [gates[name] for name in names])
        for name, slope in zip(names, slopes, strict=True):
            squares[name] += slope.numpy() ** 2 / 2
    for name in names:
        np.testing.assert_allclose(found[channels.made[name]], squares[name], rtol=1e-3, atol=1e-9)


def test_l1_and_bn_are_their_formulas(architectures):
    model = network()
    architectures.randomize(model)
    channels = trace(model)
    l1 = saliency.score(model, channels, images(), params(keep=0.5, score="l1"))
    kernels = [model.get_layer(name).get_weights()[0] for name in ("stem", "shrink")]
    expected = sum(np.abs(kernel).sum(axis=(0, 1, 2)) for kernel in kernels)
    np.testing.assert_allclose(l1[channels.made["stem"]], expected, rtol=1e-5)
    with pytest.raises(ModelError, match=r"'side'.*no batch normalization"):
        saliency.score(model, channels, images(), params(keep=0.5, score="bn"))
    x = layers.BatchNormalization(name="bn1")(layers.Conv2D(8, 3, name="stem")(model.inputs[0]))
    plain = keras.Model(model.inputs, layers.Dense(2)(layers.Flatten()(x)))
    architectures.randomize(plain)
    channels = trace(plain)
    bn = saliency.score(plain, channels, images(), params(keep=0.5, score="bn"))
    np.testing.assert_allclose(bn[channels.made["stem"]], np.abs(plain.get_layer("bn1").gamma.numpy()))


@pytest.mark.parametrize(
    ("widths", "says"),
    [
        ({"stemm": 4}, "no layer.*'stemm'.*did you mean 'stem'"),
        ({"stem": 9}, "widths.stem: received 9; the layer has 8"),
        ({"stem": 4, "shrink": 5}, "widths.stem: received 4.*same width|widths.shrink"),
        ({"output": 2}, "widths.output: received 2.*'output'.*at least 4"),
        ({"stem": 8}, "just these widths"),
    ],
)
def test_widths_that_cannot_be_are_refused(widths, says):
    with pytest.raises(ModelError, match=says):
        shrink(network(), images(), widths=widths, score="l1")


def test_heads_and_added_layers_keep_the_widths_given():
    slimmed = shrink(network(), images(), widths={"heads": 1, "stem": 4, "shrink": 4}, score="taylor")
    assert slimmed.get_layer("heads")._num_heads == 1
    assert slimmed.get_layer("shrink").filters == 4


def test_nothing_to_remove_is_said():
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, layers.Dense(3, name="only")(inputs))
    train = Arrays({"x": np.ones((4, 4), np.float32)}, {"label": np.zeros(4, int)})
    with pytest.raises(ModelError, match="those of 'only' are the model's output"):
        shrink(model, train, keep=0.5)


def test_what_was_pruned_stays_so_while_the_rest_is_trained():
    model = network()
    kernel, bias = model.get_layer("side").get_weights()
    kernel[::2] = 0
    model.get_layer("side").set_weights([kernel, bias])
    tuned, _ = slim.apply(model, params(widths={"expand": 7, "stem": 5}, epochs=1), images(), images(), ignore)
    found = tuned.get_layer("side").get_weights()[0]
    assert not found[[0, 2]].any()
    assert found[1].all()


@pytest.mark.slow
def test_zeros_and_frozen_statistics_stay_and_training_goes_on(architectures):
    model = network()
    architectures.randomize(model)
    kernel, bias = model.get_layer("side").get_weights()
    kernel[::2] = 0
    model.get_layer("side").set_weights([kernel, bias])
    model.get_layer("bn3").trainable = False
    slimmed = shrink(model, images(), widths={"expand": 7, "stem": 5})
    assert np.mean(slimmed.get_layer("side").get_weights()[0] == 0) == pytest.approx(2 / 3)  # rows 0 and 2 of 3
    assert not slimmed.get_layer("bn3").trainable
    assert set(slimmed.get_layer("bn3").moving_mean.numpy()) < set(model.get_layer("bn3").moving_mean.numpy())
    tuned, history = slim.apply(model, params(keep=0.6, epochs=2), images(), images(), ignore)
    assert history["loss"][1] < history["loss"][0]
    assert tuned.count_params() < model.count_params()
    assert slim.apply(model, params(keep=0.6), images(), images(), ignore)[1] == {}
