"""Products side by side as one: the same answers to the bit, from fewer operators; and what stays as it is."""

from collections import Counter

import numpy as np
import pytest

from tasks.formats import tflite
from tasks.quantize import ai_edge, joined, language
from tasks.quantize.ai_edge import Numbers, Rule
from tests import decoders
from tests.decoders import ROOM, SPEC, WORDS

tf = pytest.importorskip("tensorflow", reason="the training stack is not installed")
IN, OUT = 64, (96, 32, 32)
EIGHT, BLOCKS = Numbers(8, "dynamic"), Numbers(4, "dynamic", 32)
RNG = np.random.default_rng(0)
WEIGHTS = [RNG.normal(size=(IN, n)).astype("f4") for n in OUT]
BIASES = [RNG.normal(size=n).astype("f4") for n in OUT]
GIVEN = {n: RNG.normal(size=(1, n, IN)).astype("f4") for n in (1, 5)}


def products(x, biased=False):
    found = [tf.matmul(x, weights) for weights in WEIGHTS]
    return [tf.nn.bias_add(y, bias) for y, bias in zip(found, BIASES, strict=True)] if biased else found


def converted(body, folder):
    """A file with a signature of one row and one of five, whose products have the same weights."""
    module = tf.Module()
    calls = {
        f"rows_{n}": tf.function(lambda x: {"y": body(x)}, autograph=False).get_concrete_function(
            tf.TensorSpec((1, n, IN), tf.float32, "x")
        )
        for n in GIVEN
    }
    tf.saved_model.save(module, str(folder), signatures=calls)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(calls)).convert()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return converted(lambda x: tf.concat(products(x), 2), tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def biased(tmp_path_factory):
    return converted(lambda x: tf.concat(products(x, biased=True), 2), tmp_path_factory.mktemp("biased"))


def answers(content):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    found = []
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        ((given, about),) = runner.get_input_details().items()
        found += runner(**{given: GIVEN[about["shape"][1]]}).values()
    return found


def kinds(content):
    return [Counter(operator.kind for operator in graph.operators) for graph in tflite.parse(content).graphs]


@pytest.mark.parametrize("bits", [8, 4])
def test_weights_that_an_operator_makes_floats_stay_as_they_are(biased, bits):
    content = ai_edge.quantize(biased, [Rule(Numbers(bits, "float32"))])
    assert [each["DEQUANTIZE"] for each in kinds(content)] == [3, 3]
    found = joined.join(content)
    assert kinds(found) == kinds(content)
    for one, other in zip(answers(found), answers(content), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("scheme", ["float32", "int8", "blocks"])
@pytest.mark.parametrize("bias", [False, True])
def test_one_product_answers_to_the_bit_as_three_beside_each_other(plain, biased, scheme, bias):
    content = biased if bias else plain
    rules = {"int8": [Rule(EIGHT)], "blocks": [Rule(EIGHT), Rule(BLOCKS, kind="FULLY_CONNECTED")]}
    content = content if scheme == "float32" else ai_edge.quantize(content, rules[scheme])
    found = joined.join(content)
    assert [each["FULLY_CONNECTED"] for each in kinds(content)] == [3, 3]
    assert [(each["FULLY_CONNECTED"], each["CONCATENATION"]) for each in kinds(found)] == [(1, 0)] * 2
    for one, other in zip(answers(found), answers(content), strict=True):
        assert one.shape[-1] == sum(OUT)
        if scheme == "float32":  # sums in another order, where a kernel divides the rows otherwise
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
        else:
            np.testing.assert_array_equal(one, other)
    stored = [
        sum(0 if b.data is None else len(b.data) for b in tflite.objects(each).buffers) for each in (found, content)
    ]
    assert stored[0] <= stored[1], "once for both signatures, and those of the parts are gone"


def test_what_differs_in_more_than_its_weights_stays(plain, tmp_path):
    """Of which the quantizer makes some in blocks and others not; what is told elsewhere, put along another axis, or
    made of other numbers."""
    graphs = tflite.parse(plain).graphs
    first = [next(op.outputs[0] for op in graph.operators if op.kind == "FULLY_CONNECTED") for graph in graphs]
    scopes = [f"{graph.tensors[place].name};" for graph, place in zip(graphs, first, strict=True)]
    eight = [Rule(EIGHT, scope, "FULLY_CONNECTED") for scope in scopes]
    mixed = ai_edge.quantize(plain, [Rule(EIGHT), Rule(BLOCKS, kind="FULLY_CONNECTED"), *eight])

    def twice(x):
        found = products(x)
        return tf.concat(found, 2) * tf.reduce_mean(found[1])

    bodies = [
        twice,
        lambda x: tf.concat([*products(x), tf.nn.relu(tf.matmul(x, WEIGHTS[1]))], 2),
        lambda x: tf.concat([tf.matmul(x, WEIGHTS[1]), tf.matmul(x, WEIGHTS[2])], 1),
        lambda x: tf.concat([tf.matmul(x, WEIGHTS[1]), tf.matmul(x + 1, WEIGHTS[2])], 2),
        lambda x: tf.concat([products(x)[0], x], 2),
    ]
    others = [converted(body, tmp_path / str(number)) for number, body in enumerate(bodies)]
    for content in (mixed, *others):
        assert kinds(joined.join(content)) == kinds(content)
        for one, other in zip(answers(joined.join(content)), answers(content), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_token_is_charged_for_few_operators():
    """Those of a layer, of which a model has many: what a step does once is done once for all of them."""
    file = tflite.parse(language.make(decoders.built(), decoders.entry(prefill=decoders.PREFILL, room=ROOM)).content)
    (decode,) = (file.graphs[found.graph] for found in file.signatures if found.name == "decode")
    start = next(i for i, op in enumerate(decode.operators) if op.kind == "FULLY_CONNECTED")
    head = next(i for i, op in enumerate(decode.operators) if decode.tensors[op.outputs[0]].shape[-1:] == (WORDS,))
    layer = Counter(op.kind for op in decode.operators[start:head])
    norms = Counter({"SQUARE": 2, "MEAN": 2, "ADD": 2, "RSQRT": 2, "MUL": 4})
    attending = Counter(
        {"RESHAPE": 3, "STRIDED_SLICE": 4, "MUL": 2, "SPLIT": 1, "CONCATENATION": 1, "ADD": 2, "BATCH_MATMUL": 2}
    ) + Counter({"SPLIT_V": 1, "MUL": 1, "CONCATENATION": 1})  # of this model a part of a head is not turned
    feeding = Counter({"LOGISTIC": 1, "MUL": 2, "ADD": 2, "FULLY_CONNECTED": 5})
    assert layer == norms + attending + feeding + Counter({"DYNAMIC_UPDATE_SLICE": 2, "SOFTMAX": 1})
    for operator in decode.operators:
        if operator.kind == "FULLY_CONNECTED":
            assert operator.options.keepNumDims, "else XNNPACK copies what it reads, to make rows of it"
        if operator.kind in ("ADD", "MUL") and 2 * SPEC.heads * 16 <= _size(decode, operator.outputs[0]):
            sizes = [_size(decode, place) for place in operator.inputs]
            assert sizes[0] == sizes[1], "of one size it is one loop; rows that are repeated are shared out"


def _size(graph, place):
    return int(np.prod(graph.tensors[place].shape))
