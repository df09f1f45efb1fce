"""LiteRT files against Keras itself: same numbers in float, close ones in integers."""

import errno
import os
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tasks.errors import ConversionError, ModelError, TercetError
from tasks.examples import Arrays
from tasks.examples.dataset import Spec, TensorSpec
from tasks.formats import tflite
from tasks.models import bow, cnn
from tasks.params import Bow, Cnn, Prune, Quantize
from tasks.quantize import aware, litert
from tasks.records import ModelCard
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
CLASSES = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 128)
    image = rng.random((128, 12, 12, 1)).astype(np.float32)
    for i, k in enumerate(label):
        image[i, 3 * k : 3 * k + 3] += 1
    return Arrays({"image": image}, {"label": label})


@pytest.fixture(scope="module")
def trained(images):
    fit.reset(0)
    spec = Spec({"image": TensorSpec((12, 12, 1), "float32")}, CLASSES)
    model = cnn.build(Cnn(family="cnn", filters=(8, 16), dense=(24,)), spec)
    params = Prune(method="prune", parent="baseline", sparsity=0.5, epochs=3, batch_size=16)
    fit.fit(model, images, images, params, label="train")
    return model


@pytest.fixture(scope="module")
def converted(trained, images):
    """The file of `trained` at a scheme, each converted once."""
    return cache(lambda scheme: litert.convert(trained, scheme, images))


def run(content, arrays):
    """Every example through the plain interpreter, dequantized."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    results = []
    for array in arrays:
        scale, zero = into["quantization"]
        ready = array if not scale else np.clip(np.round(array / scale) + zero, *limits(into["dtype"]))
        interpreter.set_tensor(into["index"], ready[None].astype(into["dtype"]))
        interpreter.invoke()
        raw = interpreter.get_tensor(out["index"])[0].astype(np.float64)
        scale, zero = out["quantization"]
        results.append((raw - zero) * scale if scale else raw)
    return np.array(results)


def limits(dtype):
    info = np.iinfo(dtype)
    return info.min, info.max


@pytest.mark.parametrize(
    ("scheme", "tolerance", "dtype", "largest"),
    [
        ("float32", 1e-5, "float32", 1.0),
        ("float16", 2e-3, "float32", 0.8),
        ("dynamic", 5e-2, "float32", 0.8),
        ("int8", 8e-2, "int8", 0.8),
        ("int16x8", 2e-2, "int16", 0.8),
    ],
)
def test_each_scheme_agrees_with_keras(trained, images, converted, scheme, tolerance, dtype, largest):
    content = converted(scheme)
    graph = litert.inspect(content)
    expected = trained.predict(images.inputs["image"], verbose=0)
    assert np.abs(run(content, images.inputs["image"]) - expected).max() < tolerance
    assert [tensor.dtype for tensor in (*graph.inputs, *graph.outputs)] == [dtype] * 2
    assert graph.inputs[0].name == "image"
    assert graph.inputs[0].shape == (12, 12, 1)
    assert len(content) <= largest * len(converted("float32"))
    assert (graph.inputs[0].scale is None) == (dtype == "float32")


def test_the_same_model_gives_the_same_bytes(images):
    def convert():
        fit.reset(0)
        spec = Spec({"image": TensorSpec((12, 12, 1), "float32")}, CLASSES)
        return litert.convert(cnn.build(Cnn(family="cnn", filters=(4,), dense=()), spec), "int8", images)

    assert convert() == convert()


def test_operators_are_counted_and_no_shape_arithmetic_is_left(converted):
    operators = litert.inspect(converted("int8")).operators
    operators.pop("RESHAPE", None)  # folded away or not, as the converter likes
    assert operators == {"CONV_2D": 2, "FULLY_CONNECTED": 2, "MAX_POOL_2D": 2, "SOFTMAX": 1}


def lambda_model(function):
    fit.reset(0)
    inputs = keras.Input((8,), name="x")
    hidden = keras.layers.Lambda(function)(keras.layers.Dense(8)(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(hidden))


NUMBERS = Arrays({"x": np.random.default_rng(0).random((8, 8)).astype(np.float32)}, {})


def test_an_operator_that_stays_float_is_named():
    tf = pytest.importorskip("tensorflow")
    model = lambda_model(lambda x: tf.math.atan2(x, x + 1.0))
    with pytest.raises(ConversionError, match=r"scheme int8: .*(ATAN2|atan2)"):
        litert.convert(model, "int8", NUMBERS)


def test_an_operator_that_the_runtime_lacks_is_named_in_one_line():
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ConversionError, match=r"the converter refused: the runtime has no operator Erf$"):
        litert.convert(lambda_model(tf.math.erf), "float32", NUMBERS)


def test_layers_that_come_to_such_an_operator_are_to_be_built_otherwise():
    tf = pytest.importorskip("tensorflow")
    layers = keras.layers
    inputs = keras.Input((8,), name="x")
    both = tf.nn.gelu(inputs, approximate=True) + tf.nn.gelu(inputs)
    with pytest.raises(
        ConversionError, match=r"no operator Erfc; exact GELU is .* use one kind of the two for a tenso"
    ):
        litert.convert(keras.Model(inputs, layers.Dense(2)(both)), "float32", NUMBERS)
    apart = tf.nn.gelu(inputs, approximate=True) + tf.nn.gelu(layers.Dense(8)(inputs))
    assert litert.inspect(litert.convert(keras.Model(inputs, apart), "float32", NUMBERS)).operators["GELU"] == 2
    steps = layers.Reshape((4, 2))(inputs)
    places = layers.Flatten()(layers.LocallyConnected1D(2, 3, implementation=3)(steps))
    with pytest.raises(ConversionError, match=r"MatMul; build LocallyConnected layers with implementation 1 or 2$"):
        litert.convert(keras.Model(inputs, places), "float32", NUMBERS)


def test_text_takes_token_numbers_and_quantizes():
    fit.reset(0)
    spec = Spec({"text": TensorSpec((6,), "int32", 50)}, CLASSES)
    model = bow.build(Bow(family="bow", embedding=8), spec)
    tokens = np.random.default_rng(0).integers(0, 50, (40, 6)).astype(np.int32)
    content = litert.convert(model, "int8", Arrays({"text": tokens}, {}))
    graph = litert.inspect(content)
    assert (graph.inputs[0].dtype, graph.outputs[0].dtype) == ("int32", "int8")
    expected = model.predict(tokens, verbose=0)
    assert np.abs(run(content, tokens) - expected).max() < 0.02


@pytest.mark.parametrize("kept", [pytest.param((), marks=pytest.mark.slow), ("sparsity",)])
def test_aware_training_keeps_what_its_parent_had(images, kept):
    fit.reset(0)
    spec = Spec({"image": TensorSpec((12, 12, 1), "float32")}, CLASSES)
    model = cnn.build(Cnn(family="cnn", filters=(8,), dense=(16,)), spec)
    dense = model.layers[-2]
    kernel, bias = dense.get_weights()
    kernel[: len(kernel) // 2] = 0
    dense.set_weights([kernel, bias])
    card = ModelCard(
        model="m",
        parent=None,
        method="train",
        parameters=1,
        epochs=1,
        total_epochs=1,
        layers=(),
        preserves=kept,
        history={},
    )
    entry = Quantize(model="m", scheme="int8", aware_epochs=1, aware_learning_rate=0.01, batch_size=16)
    trained = aware.apply(model, card, entry, images, images)
    content = litert.convert(trained, "int8", images)
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    weights = {
        d["name"]: interpreter.get_tensor(d["index"])
        for d in interpreter.get_tensor_details()
        if tuple(d["shape"]) == kernel.T.shape
    }
    zeros = np.mean(next(iter(weights.values())) == 0)
    assert (zeros >= 0.5) == bool(kept)  # without the scheme that preserves them, training fills the zeros
    expected = trained.predict(images.inputs["image"], verbose=0)
    assert np.abs(run(content, images.inputs["image"]) - expected).max() < 0.05


def card_of_a_model():
    return ModelCard(
        model="m", parent=None, method="train", parameters=1, epochs=1, total_epochs=1, layers=(), history={}
    )


def test_a_layer_that_cannot_be_trained_aware_is_an_error(images):
    fit.reset(0)
    inputs = keras.Input((6,), name="text")
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.LayerNormalization(name="norm")(inputs)))
    entry = Quantize(model="m", scheme="int8", aware_epochs=1)
    told = r"quantization-aware training of 'm': .*norm \(LayerNormalization\).*set aware_epochs: 0"
    with pytest.raises(ModelError, match=told):
        aware.apply(model, card_of_a_model(), entry, images, images)


@pytest.mark.slow
def test_an_embedding_stays_as_it_is_in_aware_training_and_becomes_integers():
    fit.reset(0)
    model = bow.build(
        Bow(family="bow", embedding=6, dense=(8,), token_dropout=0.1),
        Spec({"text": TensorSpec((5,), "int32", 20)}, ("a", "b")),
    )
    table = model.layers[1].get_weights()[0]
    table[5:10] = 0
    model.layers[1].set_weights([table])
    tokens = np.random.default_rng(0).integers(0, 20, (64, 5)).astype(np.int32)
    texts = Arrays({"text": tokens}, {"label": (tokens[:, 0] > 9).astype(np.int64)})
    before = model.layers[-1].get_weights()[0].copy()
    entry = Quantize(model="m", scheme="int8", aware_epochs=1, aware_learning_rate=0.01, batch_size=16)
    trained = aware.apply(model, card_of_a_model(), entry, texts, texts)
    after = {weight.name: weight.numpy() for weight in trained.weights}
    (kept,) = (value for name, value in after.items() if "embeddings" in name)
    assert (kept == table).all()
    assert not any(value.shape == before.shape and (value == before).all() for value in after.values())
    content = litert.convert(trained, "int8", texts)
    assert "float32" not in tflite.parse(content).dtypes()
    expected = trained.predict(tokens, verbose=0)
    assert np.abs(run(content, tokens) - expected).max() < 0.02


def test_a_file_is_the_one_that_tensorflows_own_way_to_a_keras_model_makes(images, monkeypatch, tmp_path):
    import tensorflow as tf

    layers = keras.layers
    image, more = keras.Input((12, 12, 1), name="image"), keras.Input((4, 3), name="more")
    h = layers.Flatten()(layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(image)))
    h = layers.Concatenate()([h, layers.Flatten()(more)])
    model = keras.Model([more, image], {"b": layers.Dense(2)(h), "a": layers.Dense(3, activation="softmax")(h)})
    one = litert.batch_of_one(model)
    monkeypatch.setattr(litert, "batch_of_one", lambda model: one)  # whose layers' numbers stand in the file
    ours = np.frombuffer(litert.convert(model, "float32", None), np.uint8)
    theirs = np.frombuffer(tf.lite.TFLiteConverter.from_keras_model(one).convert(), np.uint8)
    assert len(ours) == len(theirs)
    assert [(ours[i], theirs[i]) for i in np.flatnonzero(ours != theirs)] == [(1, 2)]  # a SavedModel, and Keras


def test_a_name_that_no_saved_model_takes_is_none_in_the_way():
    inputs = keras.Input((4,), name="a photo/b")
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    x = np.random.default_rng(0).random((5, 4), np.float32)
    np.testing.assert_allclose(run(litert.convert(model, "float32", None), x), model(x), rtol=1e-6, atol=1e-6)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
HALF = ValueError("SignatureDef signature_key is None and model has 0 Signatures")  # said of a file that had no room


@pytest.mark.parametrize(("error", "free"), [(FULL, 2**30), (HALF, 0)], ids=["said", "found"])
def test_a_full_disk_is_no_refusal_for_it_may_pass(error, free, trained, monkeypatch):
    import tensorflow as tf

    def convert():
        raise error

    converter = SimpleNamespace(convert=convert, target_spec=SimpleNamespace())
    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_saved_model", lambda folder: converter)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(TercetError, match=r"^scheme float16: no space left on the disk: .*; free some") as caught:
        litert.convert(trained, "float16", None)
    assert type(caught.value) is TercetError  # none of the kinds that no other try is worth
    if error is HALF:
        monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**30))
        with pytest.raises(ConversionError, match="the converter refused: SignatureDef"):
            litert.convert(trained, "float16", None)
