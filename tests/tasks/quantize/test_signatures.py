"""What keeps a state, and how it is called, is read from a file, or the file is refused by what is wrong with it."""

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.formats import tflite
from tasks.formats.tflite import File, Graph, Operator
from tasks.quantize import signatures
from tasks.records import Signature, Tensor


def tensor(name, *shape, dtype="float32"):
    return Tensor(name=name, shape=shape, dtype=dtype)


TOKENS, CACHE, SCORES = tensor("tokens", 1, 1, dtype="int32"), tensor("kv", 2, 8, 4), tensor("logits", 1, 1, 9)


def call(name, inputs, outputs, state=("kv",)):
    return Signature(name=name, inputs=inputs, outputs=outputs, state={each: each for each in state})


DECODE = call("decode", (TOKENS, CACHE), (SCORES, CACHE))
PREFILL = call("prefill_4", (tensor("tokens", 1, 4, dtype="int32"), CACHE), (CACHE,))


def test_the_scores_are_a_row_and_prefill_may_give_none():
    tokens, scores = signatures.language("own", [PREFILL, DECODE])
    assert tokens == TOKENS
    assert (scores.name, scores.shape) == ("logits", (9,))


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([DECODE], r"'own': a file that keeps a state is called by .* 'decode' and 'prefill' .* received decode"),
        ([PREFILL, call("step", DECODE.inputs, DECODE.outputs)], "received prefill_4, step"),
        (
            [PREFILL, call("decode", (*DECODE.inputs, tensor("mask", 1, 8)), DECODE.outputs)],
            "takes 'mask', which nobody",
        ),
        ([PREFILL, call("decode", (TOKENS, tensor("kv", 2, 9, 4)), DECODE.outputs)], "the state of 'decode'"),
        ([PREFILL, call("decode", (CACHE,), DECODE.outputs)], "'tokens' and the state of 'decode' are expected"),
        (
            [PREFILL, call("decode", (PREFILL.inputs[0], CACHE), DECODE.outputs)],
            r"takes \[1, 4\] tokens; one is expected",
        ),
        ([PREFILL, call("decode", DECODE.inputs, (CACHE,))], "gives nothing beside its state"),
        ([PREFILL, call("decode", DECODE.inputs, (SCORES, tensor("more", 1), CACHE))], "gives logits, more beside"),
        ([call("prefill", PREFILL.inputs, (tensor("logits", 1, 4, 9), CACHE)), DECODE], "the same one or none"),
    ],
)
def test_what_is_called_in_another_way_is_refused(calls, message):
    with pytest.raises(ModelError, match=message):
        signatures.language("own", calls)


def test_a_smaller_room_has_the_same_state_but_for_its_places():
    decode = DECODE.model_copy(update={"places": 8})
    smaller = tensor("kv", 2, 4, 4)
    signatures.language("own", [PREFILL, decode, call("room_4_decode", (TOKENS, smaller), (SCORES, smaller))])
    for name, cache in (("room_2_decode", smaller), ("room_4_decode", tensor("kv", 2, 8, 2))):
        with pytest.raises(ModelError, match=f"{name}' takes tokens, kv; 'tokens' and the state of 'decode' are expec"):
            signatures.language("own", [PREFILL, decode, call(name, (TOKENS, cache), (SCORES, cache))])


def file(operators, *, after_shape=(1, 8, 4), signatures_=2):
    """A graph of `state` (0), `part` (1), `begin` (2), `state` after it (3) and an `answer` (4)."""
    shapes = {"state": (1, 8, 4), "part": (1, 1, 4), "begin": (3,), "after": after_shape, "answer": (1, 4)}
    tensors = tuple(
        tflite.Tensor(name, shape, shape, "float32", (), (), None, sparse=False) for name, shape in shapes.items()
    )
    graph = Graph("main", tensors, tuple(Operator(*each, None) for each in operators), (0, 1), (3, 4))
    found = tflite.Signature("decode", 0, {"kv": 0, "part": 1}, {"kv": 3, "answer": 4})
    return File((graph,), (found,) * signatures_)


WRITE = ("DYNAMIC_UPDATE_SLICE", (0, 1, 2), (3,))
READ = ("SUM", (3, 2), (4,))


def test_a_state_is_told_by_its_name_shape_and_type_in_a_file_of_several_signatures():
    (found, _) = signatures.read(file([WRITE, READ]))
    assert found.state == {"kv": "kv"}
    assert [each.shape for each in found.inputs] == [(1, 8, 4), (1, 1, 4)]
    (other, _) = signatures.read(file([WRITE, READ], after_shape=(1, 9, 4)))
    assert other.state == {}
    assert signatures.read(file([WRITE, READ], signatures_=1)) == (), "what answers by one call keeps nothing"


@pytest.mark.parametrize(
    ("operators", "in_place"),
    [
        ([WRITE, READ], True),
        ([WRITE, ("SUM", (0, 2), (4,))], False),  # the old state is read beside it, perhaps after it was written
        ([("ADD", (0, 1), (3,)), READ], False),  # all of it changes
        ([("DYNAMIC_UPDATE_SLICE", (1, 0, 2), (3,)), READ], False),  # it is what is written, not where
        ([("DYNAMIC_UPDATE_SLICE", (0, 1, 2), (4,)), ("SUM", (4, 2), (3,))], False),
    ],
)
def test_a_state_is_written_in_place_only_where_nobody_reads_what_it_was(operators, in_place):
    (found, _) = signatures.read(file(operators))
    assert found.in_place is in_place
    assert found.places == (8 if in_place else None)


def test_the_room_of_a_state_is_known_where_one_axis_is_written_in_part():
    graph = file([WRITE]).main
    assert signatures._room(graph, graph.operators[0]) == 8
    wider = Operator("DYNAMIC_UPDATE_SLICE", (0, 4, 2), (3,), None)
    object.__setattr__(graph.tensors[4], "shape", (1, 1, 1))
    assert signatures._room(graph, wider) is None
    assert np.prod(graph.tensors[0].shape) == 32
