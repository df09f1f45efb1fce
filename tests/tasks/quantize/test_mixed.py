"""Variants by ai-edge-quantizer: against the float32 file, by the types of their tensors, by layers known as hard."""

import errno
import logging
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import paths
from tasks.bench import devices
from tasks.bench.kinds import ethos_u
from tasks.errors import ConversionError, ParamsError, TercetError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL
from tasks.formats.schemes import SCHEMES
from tasks.params import Quantize
from tasks.quality.score import Exam
from tasks.quantize import ai_edge, layers, litert, mixed, notes
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
ROOT = Path(__file__).resolve().parents[3]


def entry(scheme="int8", **options):
    return Quantize(model="baseline", scheme=scheme, **options)


@pytest.fixture(scope="module")
def network(architectures):
    """Two convolutions, a depthwise one, a residual sum and two dense layers, all of them random."""
    fit.reset(0)
    inputs = keras.Input((10, 10, 2), name="image")
    x = keras.layers.Conv2D(24, 3, use_bias=False, name="first")(inputs)
    x = keras.layers.ReLU(name="bend")(keras.layers.BatchNormalization(name="norm")(x))
    y = keras.layers.DepthwiseConv2D(3, padding="same", name="each")(x)
    x = keras.layers.Add(name="sum")([x, keras.layers.Conv2D(24, 1, name="mix")(y)])
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    x = keras.layers.Dropout(0.2, name="drop")(keras.layers.Dense(200, activation="relu", name="wide")(x))
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="scores")(x))
    architectures.randomize(model)
    return model


@pytest.fixture(scope="module")
def images(network):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(96, 10, 10, 2)).astype(np.float32)
    return Arrays({"image": image}, {LABEL: network.predict(image, verbose=0).argmax(axis=1)})


@pytest.fixture(scope="module")
def plain(network):
    """The float32 file of `network`."""
    return litert.convert(network, "float32", None)


def once(content):
    """Spares a conversion for each scheme."""
    return mock.patch.object(litert, "convert", return_value=content)


@pytest.fixture
def same_float(plain):
    """`once` for `network`."""
    with once(plain):
        yield


def answers(content, examples):
    """By the plain interpreter, in this process: the outputs, dequantized, by name."""
    runner = Interpreter(model_content=content, num_threads=1).get_signature_runner()
    taken, given = runner.get_input_details(), runner.get_output_details()
    ready = {name: integers(array, taken[name]) for name, array in examples.inputs.items()}
    rows = [runner(**{name: array[i : i + 1] for name, array in ready.items()}) for i in range(len(examples))]
    found = {}
    for name, detail in given.items():
        scale, zero = detail["quantization"]
        found[name] = (np.concatenate([row[name] for row in rows]).astype(np.float64) - zero) * (scale or 1)
    return found


def integers(array, detail):
    scale, zero = detail["quantization"]
    if not scale:
        return array
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(array / scale) + zero, limits.min, limits.max).astype(detail["dtype"])


def sqnr(plain, content, examples):
    return mixed.sqnr_db(answers(plain, examples), answers(content, examples))


def weights(model, content):
    """The type of each layer's weights."""
    found = layers.owners(layers.read(content, layers.names(model), tuple(model.output_names)), weighted=True)
    return {name: next(o.weights for o in operators if o.weights) for name, operators in found.items()}


@pytest.mark.parametrize(
    ("options", "least_db", "most_bytes"),
    [
        ({"scheme": "int8-weights"}, 40, 0.6),
        ({"scheme": "int4-weights"}, 18, 0.5),
        ({"scheme": "int4-dynamic"}, 18, 0.5),
        ({"scheme": "int8", "ranges": "percentile"}, 25, 0.6),
        ({"scheme": "int8", "ranges": "mse"}, 25, 0.6),
        ({"scheme": "int16x8", "ranges": "mse"}, 40, 0.65),
        ({"scheme": "dynamic", "bits": {"wide": 4}}, 18, 0.6),
    ],
    ids=str,
)
def test_each_way_agrees_with_float32_and_gives_the_same_bytes(
    network, plain, same_float, images, options, least_db, most_bytes
):
    made = mixed.make(network, entry(**options), images).content
    assert sqnr(plain, made, images) > least_db
    assert len(made) < most_bytes * len(plain)
    assert mixed.build(mixed.job(network, entry(**options), images)) == made


def test_integer_schemes_are_integers_throughout(network, same_float, images):
    for scheme, kind in (("int8", "int8"), ("int16x8", "int16")):
        content = mixed.make(network, entry(scheme, ranges="mse"), images).content
        graph = litert.inspect(content)
        assert not layers.floats(content)
        assert [tensor.dtype for tensor in (*graph.inputs, *graph.outputs)] == [kind] * 2


def test_four_bits_are_kept_where_there_are_kernels_and_eight_elsewhere(network, same_float, images):
    made = mixed.make(network, entry("int4-weights"), images).content
    four = dict.fromkeys(("first", "mix", "wide", "scores"), "int4")
    assert weights(network, made) == four | {"each": "int8"}


def test_bits_of_single_layers(network, same_float, images):
    for scheme in ("int8", "dynamic", "int8-weights"):
        made = mixed.make(network, entry(scheme, bits={"mix": 4, "norm": 4}), images).content
        # the normalization is folded into `first`
        expected = {"first": "int4", "each": "int8", "mix": "int4", "wide": "int8", "scores": "int8"}
        assert weights(network, made) == expected
    made = mixed.make(network, entry("int4-dynamic", bits={"scores": 8}), images).content
    assert weights(network, made)["scores"] == "int8"
    with pytest.raises(ConversionError, match=r"ai-edge-quantizer .* refused: .*DEPTHWISE"):
        mixed.make(network, entry(bits={"each": 4}), images)
    with pytest.raises(ParamsError, match="layer 'sum' has no weights"):
        mixed.make(network, entry(bits={"sum": 4}), images)


def test_layers_left_out_compute_in_floats_and_all_others_in_integers(network, plain, same_float, images):
    made = mixed.make(network, entry(exclude=("each", "scores")), images)
    assert made.excluded == ("each", "scores")
    assert weights(network, made.content) == {
        "first": "int8", "each": "float32", "mix": "int8", "wide": "int8", "scores": "float32",
    }  # fmt: skip
    graph = litert.inspect(made.content)
    assert [tensor.dtype for tensor in (*graph.inputs, *graph.outputs)] == ["int8"] * 2
    whole = mixed.make(network, entry(ranges="mse"), images).content
    assert sqnr(plain, made.content, images) > sqnr(plain, whole, images)
    wider = mixed.make(network, entry(exclude=("each", "wide"), exclude_scheme="int16x8"), images).content
    assert not layers.floats(wider)
    assert sqnr(plain, wider, images) > 25


def test_a_layer_that_there_is_not_is_refused_with_a_near_match(network, same_float, images):
    with pytest.raises(ParamsError, match=r"exclude: no operator .* layer 'widee'; allowed: .*did you mean 'wide'"):
        mixed.make(network, entry(exclude=("widee",)), images)
    with pytest.raises(ParamsError, match=r"bits: no operator .* layer 'drop'"):
        mixed.make(network, entry(bits={"drop": 4}), images)


def test_ranges_are_chosen_for_what_they_are_good_at(architectures):
    fit.reset(0)
    model = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(16), keras.layers.Dense(4)])
    architectures.randomize(model)
    plain, rng = litert.convert(model, "float32", None), np.random.default_rng(0)

    def found(calibration, examples, *methods):
        for ranges in methods:
            share = {"percentile": 99.0} if ranges == "percentile" else {}
            start = mixed.job(model, entry(ranges=ranges, **share), Arrays({"x": calibration}, {}))
            yield sqnr(plain, mixed.build(start), Arrays({"x": examples}, {}))

    with once(plain):
        usual = rng.normal(size=(300, 8)).astype(np.float32)
        outlier = usual.copy()
        outlier[7, 3] = 500  # one value, which the extremes are ruined by
        extremes, percentile = found(outlier, usual, "min-max", "percentile")
        assert percentile > extremes + 12
        heavy = rng.standard_t(3, size=(3000, 8)).astype(np.float32)  # many large values
        extremes, least_error = found(heavy, heavy, "min-max", "mse")
        assert least_error > extremes + 0.2


def test_rows_of_an_embedding_are_stored_in_eight_and_in_four_bits():
    fit.reset(0)
    tokens = keras.Input((6,), dtype="int32", name="text")
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(400, 64, name="table")(tokens))
    model = keras.Model(tokens, keras.layers.Dense(3, name="scores")(x))
    rng = np.random.default_rng(0)
    model.get_layer("table").set_weights([rng.normal(size=(400, 64)) * rng.lognormal(size=(400, 1), sigma=2)])
    examples = Arrays({"text": rng.integers(0, 400, (40, 6)).astype(np.int32)}, {})
    plain = litert.convert(model, "float32", None)
    for scheme, kind, most, least_db in (("int8-weights", "int8", 0.4, 38), ("int4-dynamic", "int4", 0.3, 15)):
        with once(plain):
            made = mixed.make(model, entry(scheme), examples).content
        assert weights(model, made) == {"table": kind, "scores": kind}
        assert len(made) < most * len(plain)
        assert sqnr(plain, made, examples) > least_db  # rows of unlike sizes: one scale for all would not do


@pytest.fixture(scope="module")
def hard_parts():
    """What decides stands in the hundredths of a layer whose other channel is in the hundreds, and `pick` reads it."""
    fit.reset(0)
    inputs = keras.Input((8,), name="x")
    x = keras.layers.Dense(8, name="easy")(inputs)
    x = keras.layers.Dense(2, name="hidden")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="pick")(x))
    rng = np.random.default_rng(0)
    easy, hidden = np.linalg.qr(rng.normal(size=(8, 8)))[0], np.zeros((8, 2))
    hidden[0, 0], hidden[1, 1] = 300, 1
    pick = np.array([[0, 0], [1, -1]])
    for name, kernel in (("easy", easy), ("hidden", hidden), ("pick", pick)):
        model.get_layer(name).set_weights([kernel, np.zeros(kernel.shape[1])])
    x = rng.normal(size=(400, 8)).astype(np.float32)
    examples = Arrays({"x": x}, {LABEL: ((x @ easy)[:, 1] < 0).astype(np.int64)})
    return model, examples, litert.convert(model, "float32", None)


@pytest.fixture
def hard(hard_parts):
    """The model and its examples."""
    *found, plain = hard_parts
    with once(plain):
        yield found


def test_the_layers_that_lose_most_stand_first(hard):
    model, examples = hard
    table = mixed.sensitivity(mixed.job(model, entry(), examples), Exam(examples))
    assert {each.layer for each in table[:2]} == {"hidden", "pick"}
    assert [each.operators for each in table] == [("FULLY_CONNECTED",)] * 3
    assert min(each.quality_drop for each in table[:2]) > 0.2 > table[2].quality_drop
    assert table[0].sqnr_db < table[2].sqnr_db - 10
    assert {each.n for each in table} == {400}


def test_layers_are_left_out_until_the_drop_holds(hard):
    model, examples = hard
    made = mixed.make(model, entry(max_quality_drop=0.02), examples, Exam(examples))
    assert set(made.excluded) == {"hidden", "pick"}
    assert made.drop <= 0.02
    assert weights(model, made.content) == {"easy": "int8", "hidden": "float32", "pick": "float32"}
    assert len(made.sensitivity) == 3
    loose = mixed.make(model, entry(max_quality_drop=0.9), examples, Exam(examples))
    assert loose.excluded == ()
    assert loose.drop > 0.2


def test_the_best_that_was_found_is_returned_with_what_it_lacks(hard, caplog):
    model, examples = hard
    with caplog.at_level(logging.WARNING):
        made = mixed.make(model, entry(max_quality_drop=0.0, exclude=("easy",)), examples, Exam(examples))
    assert made.excluded[0] == "easy"
    assert made.drop > 0
    assert "max_quality_drop 0 is not reached" in caplog.text
    assert f"{made.drop:.4f}" in caplog.text


def test_nothing_to_quantize_is_said():
    fit.reset(0)
    inputs = keras.Input((4, 4, 1), name="image")
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    examples = Arrays({"image": np.ones((4, 4, 4, 1), np.float32)}, {})
    for scheme in ("int8-weights", "dynamic", "float16"):
        make = litert.make if scheme == "float16" else mixed.make
        told = notes.left_wide(make(model, entry(scheme), examples).content, scheme)
        assert told.endswith(f"the float32 network under the name of {scheme}; it has no weights")


def content(name):
    return (ROOT / f"tests/golden/{name}.tflite").read_bytes()


@pytest.mark.parametrize("name", ["float32", "float16", "int8", "int16x8"])
def test_what_holds_smaller_numbers_has_no_such_note(name):
    assert notes.left_wide(content(name), name) is None
    assert (notes.left_wide(content(name), "dynamic") is not None) == (name == "float32")


def test_weights_that_stay_float32_beside_others_are_told_with_what_they_are_of():
    """The quantizer knows the dense layer alone of an LSTM of 8 units, which takes 2 numbers, before 2 classes."""
    lstm, dense = 4 * 8 * (2 + 8), 8 * 2
    made = ai_edge.quantize(content("recurrent"), [ai_edge.Rule(ai_edge.numbers("int8-weights"))])
    assert notes.left_wide(made, "int8-weights") == (
        f"{lstm / (lstm + dense):.0%} of its weights stay float32; those of UNIDIRECTIONAL_SEQUENCE_LSTM are not made "
        "smaller by it"
    )


def test_an_operator_that_the_quantizer_has_no_integers_for_is_named():
    tf = pytest.importorskip("tensorflow")
    fit.reset(0)
    inputs = keras.Input((8,), name="x")
    hidden = keras.layers.Lambda(lambda x: tf.cumsum(x, axis=1))(keras.layers.Dense(8)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    examples = Arrays({"x": np.random.default_rng(0).random((8, 8)).astype(np.float32)}, {})
    with pytest.raises(ConversionError, match=r"CUMSUM .* stayed float32"):
        mixed.make(model, entry(ranges="mse"), examples)


def test_attention_and_layer_norm_become_integers(architectures):
    fit.reset(0)
    inputs = keras.Input((6, 8), name="x")
    x = keras.layers.Add()([inputs, keras.layers.MultiHeadAttention(2, 4, name="looks")(inputs, inputs)])
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.LayerNormalization()(x))
    model = keras.Model(inputs, keras.layers.Dense(3, name="scores")(x))
    architectures.randomize(model)
    examples = Arrays({"x": np.random.default_rng(0).normal(size=(40, 6, 8)).astype(np.float32)}, {})
    convert = litert.convert
    plain = convert(model, "float32", None)
    with once(plain):
        own = mixed.make(model, entry(ranges="mse"), examples).content
        half = mixed.make(model, entry(exclude=("looks",)), examples).content
    for made in (own, convert(model, "int8", examples)):
        assert not layers.floats(made)
        assert sqnr(plain, made, examples) > 20
    assert weights(model, half) == {"looks": "float32", "scores": "int8"}


def test_ethos_u_compiles_what_the_quantizer_made(network, same_float, images, tmp_path, monkeypatch):
    file = tmp_path / "model.tflite"
    file.write_bytes(mixed.make(network, entry(ranges="mse"), images).content)
    monkeypatch.setattr(paths, "DEVICES", ROOT / paths.DEVICES)
    report = ethos_u.vela(file, devices.load("ethos-u55-128"), tmp_path)
    assert report.cpu == ()
    assert report.npu > 0


def test_a_loop_is_refused_and_crashes_nobody():
    fit.reset(0)
    inputs = keras.Input((2, 3), name="x")
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.SimpleRNN(2, name="turns")(inputs)))
    examples = Arrays({"x": np.ones((4, 2, 3), np.float32)}, {})
    convert = litert.convert
    with once(convert(model, "float32", None)):
        for refusing in (lambda: convert(model, "int8", examples), lambda: mixed.job(model, entry(), examples)):
            with pytest.raises(ConversionError, match=r"scheme int8: the model has a loop.*turns \(SimpleRNN\)"):
                refusing()


LEAST_DB = {"int8": 8, "int16x8": 25, "dynamic": 15, "int8-weights": 20, "int4-weights": 1, "int4-dynamic": 1}


@settings(max_examples=settings.default.max_examples // 17)
@given(data=st.data())
def test_random_networks_convert_at_every_scheme_or_are_refused(architectures, data):
    fit.reset(0)
    model = architectures.build(data.draw(architectures.models()))
    examples = architectures.examples(model, 24)
    plain = litert.convert(model, "float32", None)
    expected = answers(plain, examples)
    with once(plain):
        for scheme in (name for name in SCHEMES if SCHEMES.load(name).layered):
            try:
                made = mixed.build(mixed.job(model, entry(scheme), examples))
            except ConversionError as error:
                refused = str(error)
                assert "stayed float32" in refused or "refused" in refused, refused  # it may do either
                continue
            ratio = mixed.sqnr_db(expected, answers(made, examples))
            assert ratio is None or ratio > LEAST_DB[scheme], (scheme, ratio)


def test_a_full_disk_is_no_refusal_of_the_quantizers_for_it_may_pass(plain, monkeypatch):
    from ai_edge_quantizer.quantizer import Quantizer

    def refuse(*_words, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Quantizer, "quantize", refuse)
    with pytest.raises(TercetError, match=r"^no space left on the disk: ") as caught:
        ai_edge.quantize(plain, [ai_edge.Rule(ai_edge.numbers("int8-weights"))])
    assert type(caught.value) is TercetError  # none of the kinds that no other try is worth
