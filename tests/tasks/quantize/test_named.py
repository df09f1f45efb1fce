"""Layers that are meant by a pattern, and those that are left out where activations are floats anyhow."""

from unittest import mock

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.errors import ParamsError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL
from tasks.formats import tflite
from tasks.params import Quantize
from tasks.quality.score import Exam
from tasks.quantize import language, layers, litert, mixed, notes
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
FLOATS = ("dynamic", "int8-weights", "int4-weights", "int4-dynamic")  # between products


def entry(scheme="dynamic", **options):
    return Quantize(model="baseline", scheme=scheme, **options)


@pytest.fixture(scope="module")
def network(architectures):
    """Two blocks of a depthwise and a pointwise convolution, of which some have fewer than 1,024 numbers."""
    fit.reset(0)
    inputs = keras.Input((8, 8, 4), name="image")
    x = inputs
    for i in (1, 2):
        x = keras.layers.DepthwiseConv2D(3, padding="same", name=f"block_{i}_depthwise")(x)
        x = keras.layers.BatchNormalization(name=f"block_{i}_depthwise_norm")(x)
        x = keras.layers.Conv2D(128, 1, activation="relu", name=f"block_{i}_mix")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="scores")(x))
    architectures.randomize(model)
    return model


@pytest.fixture(scope="module", autouse=True)
def once(network):
    """Converts `network` to float32 once, of which all other files of it are made."""
    convert = litert.convert
    plain = convert(network, "float32", None)

    def spared(model, scheme, *others, **options):
        return plain if model is network and scheme == "float32" else convert(model, scheme, *others, **options)

    with mock.patch.object(litert, "convert", spared):
        yield


@pytest.fixture(scope="module")
def images(network):
    image = np.random.default_rng(0).normal(size=(96, 8, 8, 4)).astype(np.float32)
    return Arrays({"image": image}, {LABEL: network.predict(image, verbose=0).argmax(axis=1)})


def weights(network, content):
    """By layer, the type of its weights in the file."""
    read = layers.read(content, layers.names(network), tuple(network.output_names), network.name)
    return {each.layers[0]: each.weights for each in read if each.weights}


EIGHT = dict.fromkeys(("block_1_depthwise", "block_1_mix", "block_2_depthwise", "block_2_mix", "scores"), "int8")


def test_the_converter_leaves_small_kernels_and_bits_of_all_do_not(network, images):
    small = {"block_1_depthwise": "float32", "block_1_mix": "float32", "scores": "float32"}  # 36, 512 and 384
    assert weights(network, mixed.as_asked(network, entry(), images).content) == EIGHT | small
    made = mixed.as_asked(network, entry(bits={"*": 8}), images).content
    assert weights(network, made) == EIGHT
    assert notes.left_wide(made, "dynamic") is None


def test_what_is_said_of_a_layer_by_its_name_holds_before_a_pattern(network, images):
    four = {"block_1_mix": "int4", "block_2_mix": "int4"}
    for bits in ({"*": 8, "block_?_mix": 4}, {"block_1_mix": 4, "block_2_mix": 4, "*": 8}):
        made = mixed.make(network, entry(bits=bits), images).content
        assert weights(network, made) == EIGHT | four
    made = mixed.make(network, entry(bits={"block_1_mix": 8, "*[m]ix": 4}), images).content
    assert weights(network, made) == EIGHT | {"block_2_mix": "int4"}


@pytest.mark.parametrize("scheme", [*FLOATS, "int8"])
def test_layers_are_left_out_by_a_pattern_at_every_scheme_by_layers(network, images, scheme):
    made = mixed.make(network, entry(scheme, exclude=("*depthwise*", "block_1_depthwise")), images)
    assert made.excluded == ("block_1_depthwise", "block_2_depthwise")  # each once, and no norm, which is folded in
    kept = weights(network, made.content)
    assert {name for name, kind in kept.items() if kind == "float32"} == {"block_1_depthwise", "block_2_depthwise"}
    assert set(kept.values()) == {"float32", "int4" if scheme.startswith("int4") else "int8"}


@pytest.mark.parametrize(
    "options", [{"exclude": ("*pointwise*",)}, {"bits": {"conv?": 8}}, {"bits": {"mea[mn]": 8}}, {"bits": {"mean": 8}}]
)
def test_a_pattern_that_no_layer_fits_is_refused(network, images, options):
    with pytest.raises(ParamsError, match=rf"^{next(iter(options))}: .*layer"):
        mixed.make(network, entry(**options), images)


def test_layers_are_left_out_until_a_drop_holds_where_activations_are_floats():
    fit.reset(0)
    inputs = keras.Input((16,), name="x")
    x = keras.layers.Dense(24, activation="relu", name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4, name="scores")(x))
    x = np.random.default_rng(0).normal(size=(400, 16)).astype(np.float32)
    examples = Arrays({"x": x}, {LABEL: model.predict(x, verbose=0).argmax(axis=1)})

    def made(bound):
        return mixed.make(model, entry("int4-weights", max_quality_drop=bound), examples, Exam(examples))

    whole = made(1.0)
    assert whole.excluded == ()
    assert whole.drop > 0
    bound = whole.drop - 1 / 800  # one example better
    held = made(bound)
    assert held.drop <= bound
    (left,) = held.excluded
    assert weights(model, held.content) == {"hidden": "int4", "scores": "int4"} | {left: "float32"}


def test_floats_by_integers_in_a_depthwise_convolution_are_told(network, images):
    told = (
        'of its depthwise convolutions multiply floats by int8, which LiteRT has no fast kernel for; `exclude: ["*dep'
    )
    made = {
        "as it is": mixed.as_asked(network, entry(), images).content,
        "all": mixed.make(network, entry(bits={"*": 8}), images).content,
        "none": mixed.make(network, entry(exclude=("*depthwise*",)), images).content,
        "integers": litert.convert(network, "int8", images),
        "weights": mixed.make(network, entry("int8-weights"), images).content,  # made floats as the file is loaded
    }
    found = {name: notes.slow(content) for name, content in made.items()}
    assert found["as it is"].startswith(f"1 {told}")
    assert found["all"].startswith(f"2 {told}")
    assert found["none"] is found["integers"] is found["weights"] is None
    assert notes.of(made["none"], "dynamic", excluded=True) is None


def test_small_kernels_are_told_with_what_makes_them_smaller():
    inputs = keras.Input((8,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(4)(inputs))
    examples = Arrays({"x": np.ones((4, 8), np.float32)}, {})
    plain = litert.convert(model, "dynamic", None)
    assert notes.of(plain, "dynamic").endswith('fewer than 1,024 numbers as they are; `bits: {"*": 8}` makes them int8')
    made = mixed.as_asked(model, entry(bits={"*": 8}), examples).content
    assert notes.of(made, "dynamic") is None
    assert "int8" in tflite.parse(made).dtypes()


def test_wider_activations_of_layers_left_out_are_for_int8_alone():
    with pytest.raises(ValidationError, match=r"exclude_scheme 'int16x8' is for int8: .* 'dynamic' are floats"):
        entry(exclude=("a",), exclude_scheme="int16x8")
    entry("int8", exclude=("a",), exclude_scheme="int16x8")


@pytest.mark.parametrize("options", [{"exclude": ("head",)}, {"max_quality_drop": 0.0}])
def test_no_layer_of_a_decoder_is_left_out(options, monkeypatch):
    monkeypatch.setattr(language, "writes", lambda _model: True)
    with pytest.raises(
        ParamsError, match=rf"^{next(iter(options))}: 'baseline' is a decoder, for which it means nothing"
    ):
        language.check(None, entry(**options))
