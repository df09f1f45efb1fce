"""The reference families: published sizes, published shapes, small images, and every integer and portable form."""

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import Spec, TensorSpec
from tasks.formats.cost import Product
from tasks.members import FAMILIES
from tasks.models import autoencoder, cnn, mlp, mobilenet_v1, mobilenet_v2, mobilenet_v3, resnet, squeezenet
from tasks.params import Autoencoder, Cnn, Conv1d, Dscnn, Mlp, MobilenetV1, MobilenetV2, MobilenetV3, Resnet, Squeezenet
from tasks.published import networks
from tasks.quantize import layers, litert, stablehlo
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
IMAGES = {
    "resnet": Resnet,
    "dscnn": Dscnn,
    "mobilenet_v1": MobilenetV1,
    "mobilenet_v2": MobilenetV2,
    "mobilenet_v3": MobilenetV3,
    "squeezenet": Squeezenet,
}


def spec(*shape, classes=10, task="classification", dtype="float32"):
    return Spec({"image": TensorSpec(shape, dtype)}, tuple(map(str, range(classes))), task)


def build(family, *shape, classes=10, **keys):
    fit.reset(0)
    task = "reconstruction" if family == "autoencoder" else "classification"
    section = {**IMAGES, "autoencoder": Autoencoder, "conv1d": Conv1d}[family](family=family, **keys)
    return FAMILIES.load(family).build(section, spec(*shape, classes=classes, task=task))


# of MLPerf Tiny's reference models, moving statistics counted: the sums over the layers that it publishes as code
PUBLISHED = {
    "resnet": ((32, 32, 3), 10, 78_666),
    "dscnn": ((49, 10, 1), 12, 24_908),
    "mobilenet_v1": ((96, 96, 3), 2, 221_794),
    "autoencoder": ((640,), 2, 269_992),
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_the_parameters_are_as_many_as_published(family):
    shape, classes, parameters = PUBLISHED[family]
    assert build(family, *shape, classes=classes).count_params() == parameters


def products(model):
    """The products of a Keras model as a `.tflite` file has them, from its layers' kernels and output shapes."""
    found = []
    for layer in model.layers:
        output = (1, *layer.output_shape[1:]) if isinstance(layer.output_shape, tuple) else ()
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            height, width, channels, _ = layer.depthwise_kernel.shape
            found.append(Product("DEPTHWISE_CONV_2D", (1, height, width, channels), output))
        elif isinstance(layer, keras.layers.Conv2D):
            height, width, inputs, filters = layer.kernel.shape
            found.append(Product("CONV_2D", (filters, height, width, inputs), output))
        elif isinstance(layer, keras.layers.Dense):
            inputs, units = layer.kernel.shape
            found.append(Product("FULLY_CONNECTED", (units, inputs), output))
    return found


LARGE = {"filters": (64, 128, 256, 512), "large": True}
# a published network by a family's keys, and all its numbers: of keras.applications; of torchvision, whose moving
# statistics (two a channel) are counted besides; of keras.applications less 26,560 biases that the paper has not
LARGER = {
    "mobilenet_v1-1.0-224": ("mobilenet_v1", {"width": 1.0}, 4_253_864 + 10_944),  # and biases
    "mobilenet_v2-1.0-224": ("mobilenet_v2", {}, 3_538_984),
    "mobilenet_v3-large-224": ("mobilenet_v3", {"size": "large"}, 5_507_432),
    "mobilenet_v3-small-224": ("mobilenet_v3", {"size": "small"}, 2_554_968),
    "resnet18-224": ("resnet", {**LARGE, "blocks": 2}, 11_689_512 + 9_600),
    "resnet50-224": ("resnet", {**LARGE, "blocks": (3, 4, 6, 3), "bottleneck": True}, 25_636_712 - 26_560),
    "squeezenet-224": ("squeezenet", {}, 1_235_496),
}


@pytest.mark.parametrize("name", LARGER)
def test_the_larger_networks_are_as_published(name):
    """By count, and layer by layer as `published.networks` has them, which was written down apart."""
    family, keys, parameters = LARGER[name]
    model = build(family, 224, 224, 3, classes=1000, **keys)
    assert model.count_params() == parameters
    if family != "squeezenet":  # ours pads, and has its head behind the mean
        assert networks.known(products(model)) == name


@pytest.mark.parametrize("name", ["resnet8", "dscnn", "mobilenet_v1-0.25-96", "autoencoder"])
def test_the_networks_of_mlperf_tiny_are_known_by_their_products(name):
    shape, classes, _ = PUBLISHED[family := {"resnet8": "resnet"}.get(name, name.partition("-")[0])]
    assert networks.known(products(build(family, *shape, classes=classes))) == name


def test_mobilenet_v3_answers_as_the_one_of_keras():
    ours = build("mobilenet_v3", 96, 96, 3)
    theirs = keras.applications.MobileNetV3Small((96, 96, 3), weights=None, classes=10, include_preprocessing=False)
    given = theirs.get_weights()
    given[-2:] = [given[-2].reshape(-1, 10), given[-1]]  # their head is a convolution
    given[-4] = given[-4].reshape(-1, 1024)
    ours.set_weights(given)
    images = np.random.default_rng(0).normal(size=(2, 96, 96, 3)).astype(np.float32)
    assert np.allclose(ours(images), theirs(images), atol=1e-5)


def test_a_resnet_of_other_stacks_says_what_its_blocks_may_be():
    with pytest.raises(
        ValueError, match="blocks: one number, or 2, as many as filters, expected; received \\(1, 2, 3\\)"
    ):
        Resnet(family="resnet", filters=(8, 16), blocks=(1, 2, 3))
    assert build("resnet", 8, 8, 3, filters=(4, 8), blocks=(1, 2)).output_shape == (None, 10)


def test_a_resnet_may_begin_with_another_convolution():
    """Its parameters by hand: kernels, a bias a filter, four numbers a filter of a batch normalisation."""
    model = build("resnet", 32, 32, 3, filters=(8, 12), stem=4, stride=2)
    stacks = [(4, 8), (8, 12)]
    convolutions = [(9 * 3, 4), *((k * a, b) for i, o in stacks for k, a, b in ((9, i, o), (9, o, o), (1, i, o)))]
    normalised = 4 + 2 * (8 + 12)
    assert model.count_params() == sum(k * o + o for k, o in convolutions) + 4 * normalised + 12 * 10 + 10
    shapes = [layer.output_shape[1:3] for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert (shapes[0], shapes[-1]) == ((16, 16), (8, 8))
    with pytest.raises(ValueError, match="stride: a large one quarters the image first"):
        Resnet(family="resnet", large=True, stride=2)


def test_batch_norm_stands_between_each_convolution_and_its_relu():
    fit.reset(0)
    given = Cnn(family="cnn", filters=(4, 6), dense=(8,), batch_norm=True)
    model = cnn.build(given, spec(28, 28, 1))
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    assert kinds[:8] == 2 * ["Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D"]
    plain = cnn.build(given.model_copy(update={"batch_norm": False}), spec(28, 28, 1))
    assert model.count_params() == plain.count_params() + 4 * (4 + 6)


def test_nine_blocks_are_the_56_layers_of_the_paper():
    model = build("resnet", 32, 32, 3, blocks=9)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len([layer for layer in convolutions if layer.kernel_size == (3, 3)]) + 1 == 56  # and the classes' layer
    weights = sum(layer.kernel.shape.num_elements() for layer in convolutions)
    assert 0.85e6 < weights < 0.86e6


@pytest.mark.parametrize("width", [0.35, *(pytest.param(width, marks=pytest.mark.slow) for width in (1.0, 1.4))])
def test_mobilenet_v2_is_the_one_of_keras(width):
    ours = build("mobilenet_v2", 96, 96, 3, width=width)
    theirs = keras.applications.MobileNetV2((96, 96, 3), alpha=width, weights=None, classes=10)
    assert ours.count_params() == theirs.count_params()
    theirs.set_weights([3 * w if w.ndim == 4 else w for w in theirs.get_weights()])  # so that ReLU6 cuts off
    ours.set_weights(theirs.get_weights())
    images = np.random.default_rng(0).normal(size=(2, 96, 96, 3)).astype(np.float32)
    answers = theirs(images).numpy()
    assert np.ptp(answers) > 0.01
    assert np.allclose(ours(images), answers, atol=1e-5)


def test_mobilenet_v1_is_the_one_of_keras_but_for_its_biases_and_its_head():
    ours = build("mobilenet_v1", 96, 96, 3, width=0.5)
    theirs = keras.applications.MobileNet((96, 96, 3), alpha=0.5, weights=None, include_top=False)
    kinds = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
    kernels, expected = (
        [layer.get_weights()[0].shape for layer in model.layers if isinstance(layer, kinds)] for model in (ours, theirs)
    )
    assert kernels == expected
    assert ours.layers[-2].input_shape[1:] == theirs.output_shape[1:]


@pytest.mark.parametrize(
    ("family", "shape"), [*((family, (12, 13, 2)) for family in IMAGES), ("mobilenet_v1", (28, 28, 1))]
)
def test_small_images_are_not_halved_away(family, shape):
    model = build(family, *shape, classes=4)
    assert model.output_shape == (None, 4)
    pooled = next(layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    assert min(pooled.input_shape[1:3]) >= 3
    answers = np.asarray(model(np.zeros((2, *shape), np.float32)))
    assert np.allclose(answers.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "shape", "least"),
    [("resnet", (3, 8, 1), "4 x 4"), ("dscnn", (9, 10, 1), "10 x 4"), ("mobilenet_v2", (2, 2, 3), "3 x 3")],
)
def test_an_image_too_small_is_refused(family, shape, least):
    with pytest.raises(ModelError, match=f"family {family} needs images of at least {least} pixels; the data has"):
        build(family, *shape)


def test_data_of_another_kind_is_refused():
    section = Resnet(family="resnet")
    two = Spec({"a": TensorSpec((8, 8, 1), "float32"), "b": TensorSpec((8, 8, 1), "float32")}, ("x", "y"))
    for wrong in (two, spec(8), spec(8, 8, 1, dtype="int32")):
        with pytest.raises(ModelError, match="family resnet takes one input"):
            resnet.build(section, wrong)
    with pytest.raises(ModelError, match="use the family autoencoder"):
        resnet.build(section, spec(8, 8, 1, task="reconstruction"))
    with pytest.raises(ModelError, match="the task reconstruction"):
        autoencoder.build(Autoencoder(family="autoencoder"), spec(8))
    with pytest.raises(ModelError, match=r"answers once a window; .* use `transformer`"):
        mlp.build(Mlp(family="mlp"), spec(8, task="language"))


def test_the_last_step_of_a_series_sees_what_the_gaps_reach_and_nothing_more():
    """Four causal convolutions of three, their gaps doubled: 1 + 2 * (1 + 2 + 4 + 8) = 31 steps."""
    model = build("conv1d", 40, 1, filters=(6, 6, 6, 6), dense=(8,), classes=3)
    series = np.random.default_rng(0).normal(size=(1, 40, 1)).astype(np.float32)
    changed = np.repeat(series, 40, axis=0)
    changed[np.arange(40), np.arange(40)] += 5
    differs = np.abs(np.asarray(model(changed)) - np.asarray(model(series))).max(axis=1) > 1e-7
    assert not differs[:9].any(), "the steps before are out of reach"
    assert differs[9:].sum() > 25, "a ReLU may hide one or another"


def test_columns_of_a_table_are_steps_and_all_are_seen():
    model = build("conv1d", 7, filters=(4,), kernel=3, dense=(), classes=2)
    assert [layer.output_shape for layer in model.layers if isinstance(layer, keras.layers.Conv1D)] == [(None, 7, 4)]
    with pytest.raises(ModelError, match=r"family conv1d takes one input of .* the data has image \[8, 8, 1\]"):
        build("conv1d", 8, 8, 1)


SMALL = {
    "resnet": ((12, 12, 1), {"filters": (4, 8, 8)}),
    "dscnn": ((12, 8, 1), {"filters": 8, "blocks": 1}),
    "mobilenet_v1": ((12, 12, 1), {"width": 0.05}),
    "mobilenet_v2": ((12, 12, 1), {"width": 0.05}),
    "mobilenet_v3": ((12, 12, 1), {"width": 0.05}),
    "squeezenet": ((12, 12, 1), {"width": 0.05}),
    "conv1d": ((9, 2), {"filters": (4, 4, 4), "dense": (8,)}),
    "autoencoder": ((4, 3), {"hidden": (8,), "latent": 2}),
}


def convert_all(family):
    shape, keys = SMALL[family]
    model = build(family, *shape, classes=3, **keys)
    images = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
    content = litert.convert(model, "int8", Arrays({"image": images}, {"label": np.zeros(8, np.int64)}))
    graph = litert.inspect(content)
    assert not layers.floats(content)
    assert {tensor.dtype for tensor in (*graph.inputs, *graph.outputs)} == {"int8"}
    assert stablehlo.convert(model, "float32", graph)[:4] == b"ML\xefR"


@pytest.mark.parametrize("family", [family for family in SMALL if family != "resnet"])
def test_every_family_becomes_integers_throughout_and_stablehlo(family, monkeypatch):
    monkeypatch.setattr(mobilenet_v1, "BLOCKS", mobilenet_v1.BLOCKS[:2])  # deep ones take a minute to convert, and
    monkeypatch.setattr(mobilenet_v2, "STACKS", mobilenet_v2.STACKS[:2])  # repeat the same few kinds of layers
    monkeypatch.setitem(mobilenet_v3.SIZES, "small", (mobilenet_v3.SMALL[:4], 96, 96))
    monkeypatch.setattr(squeezenet, "FIRES", squeezenet.FIRES[:2])
    convert_all(family)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["resnet", "mobilenet_v1", "mobilenet_v2"])
def test_the_deep_families_become_integers_throughout_and_stablehlo(family):
    convert_all(family)


def test_the_autoencoder_answers_in_the_shape_that_it_reads():
    model = build("autoencoder", 4, 3, hidden=(8, 6), latent=2)
    assert (model.output_shape, model.output_names) == ((None, 4, 3), ["reconstruction"])
    widths = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert widths == [8, 6, 2, 6, 8, 12]
