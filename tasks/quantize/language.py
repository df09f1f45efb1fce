"""Decoders as LiteRT files with their caches, called as LiteRT-LM calls them.

One file has, with the same weights: `prefill_16` and so on, which take so many tokens of a prompt and give no scores;
`decode`, which takes one token and gives the scores of the next; `score_128`, which gives those of every place of a
window. Where they are asked for, `verify_5` and so on take tokens behind others and give the scores of each. The caches
are inputs and outputs of each signature. A call reads all that its caches have room for, so `decode`, the prefills and
`verify` come in smaller rooms too, as `room_256_decode`: a text begins in the smallest.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.bench.runner.prompts import IN_ROOM, VERIFY
from tasks.decoder.cached import cached, is_decoder, limit
from tasks.decoder.network import LOGITS
from tasks.decoder.portable import Network, Numbers
from tasks.distance import apart
from tasks.errors import ConversionError, ParamsError
from tasks.examples import Arrays
from tasks.formats import tflite
from tasks.formats.schemes import CACHES, SCHEMES, taking
from tasks.quantize import (
    ai_edge,
    blocks,
    embedding,
    floats,
    guard,
    joined,
    layers,
    litert,
    mixed,
    packing,
    programs,
    signatures,
)
from tasks.quantize.made import Made
from tasks.records import Signature

if TYPE_CHECKING:
    import tf_keras

    from tasks.params import Quantize

HEAD = "head"  # the layer that gives the scores, where that is not the embedding: see DecoderSpec
BEHIND = 128  # tokens that the caches hold behind a window, where nobody says how many
SMALLEST = 256  # tokens that the caches of the smallest room hold at least
PROGRAMS = "model.stablehlo.zip"
SAME = 1e-3  # of the answers' spread, that a file with other weights may be off by: sums are in another order
GENERATED = 32  # tokens that one call of the program `generate` tells
log = logging.getLogger(__name__)


def make(model: "tf_keras.Model", entry: "Quantize") -> Made:
    """Convert a decoder as `entry` says.

    Args:
        model: that `check` has let pass.
        entry: its section of params.yaml.

    Raises:
        ConversionError: a converter refuses.
    """
    form = plan(model, entry)
    convert = partial(litert.converted, partial(_converter, model, *form, entry), "float32")
    content = floats.of(model, [form, entry.verify, entry.cache], convert, partial(_says, model))
    if entry.scheme == "float32":
        return Made(joined.join(content), litert.converter())
    _warn(entry)
    return Made(quantized(content, entry, model), f"{litert.converter()}, {ai_edge.converter()}")


def _says(model: "tf_keras.Model", content: bytes) -> bool:
    """Whether a float32 file says of a window of tokens what the model says."""
    from tasks.training.attention import TokenEmbedding

    _, calls, answering = described(content, model)
    known = next(layer.input_dim for layer in model.layers if isinstance(layer, TokenEmbedding))
    tokens = np.random.default_rng(0).integers(0, known, (1, model.input_shape[1])).astype(np.int32)
    given = Arrays({model.input_names[0]: tokens}, {})
    (found,) = guard.answers(content, given, calls, everywhere(model)).values()
    (expected,) = guard.keras_answers(answering, given).values()
    return apart(found, expected) < SAME


def quantized(content: bytes, entry: "Quantize", model: "tf_keras.Model") -> bytes:
    """The float32 file of a decoder at a scheme of fewer bits; all signatures read the same weights.

    In blocks, the embedding and the layer that gives the scores have 8 bits, as have the layers that `bits` names and
    those that `gptq` has left.

    Raises:
        ConversionError: ai-edge-quantizer refuses.
        ParamsError: the blocks divide no weights of a layer, or `bits` names none.
    """
    content = embedding.look_up(content)
    if not SCHEMES.load(entry.scheme).layered:
        return tflite.compact(ai_edge.halves(joined.join(content)))
    numbers = ai_edge.numbers(entry.scheme, entry.block)
    if numbers.block is None:
        return tflite.compact(ai_edge.quantize(joined.join(content), mixed.rules_of(numbers)))
    found = [
        replace(each, layer=None) if each.layer == HEAD else each
        for each in blocks.products(content, layers.names(model))
    ]
    whole = {*entry.bits, *(blocks.left(model, entry.block) - {HEAD})}
    return tflite.compact(joined.join(ai_edge.quantize(content, blocks.rules(found, numbers, whole))))


def _warn(entry: "Quantize") -> None:
    """Say what a scheme is not good for, where it is chosen for a decoder."""
    scheme = SCHEMES.load(entry.scheme)
    if scheme.weights == 4 and entry.block is None:
        log.warning(
            "%s: one scale for a row of weights is seldom usable in 4 bits; `scheme: int4-dynamic` with `block: 32` is",
            entry.scheme,
        )
    if scheme.layered and scheme.activations == "float32":
        log.warning("%s: pays nothing on a processor, which makes them floats when it loads the file", entry.scheme)


def programs_of(model: "tf_keras.Model", entry: "Quantize") -> bytes:
    """The same decoder as programs of StableHLO, for one text at a time; see `packing`.

    Weights of 32 bits are computed with as they are; of 16 bits they are bfloat16, as language models are trained in,
    whose range no activation leaves; integers are multiplied in bfloat16.

    Raises:
        ConversionError: the scheme has no such programs, or a layer none of their form.
    """
    scheme = SCHEMES.load(entry.scheme)
    if scheme.activations != "float32" or scheme.weights is None:
        able = [name for name in taking("room") if SCHEMES.load(name).activations == "float32"]
        raise ConversionError(f"scheme {entry.scheme} has no StableHLO of a decoder; {', '.join(able)} have")
    numbers = {32: Numbers(), 16: Numbers("bfloat16")}.get(scheme.weights, Numbers("bfloat16", scheme.weights))
    (lengths, room), window = plan(model, entry), model.input_shape[1]
    network = Network(model, replace(numbers, cache=entry.cache))
    found = {f"score_{window}": programs.score(network, 1, window)}
    for seen in rooms(lengths, room):
        each = _within(network, lengths, room, seen)
        found |= each if seen == room else {IN_ROOM.format(seen, name): program for name, program in each.items()}
    return packing.pack(network, found, 1, room)


def _within(network: Network, lengths: Sequence[int], room: int, seen: int) -> dict[str, programs.Program]:
    """The programs that read the first places of the caches alone."""
    found = {f"prefill_{n}": programs.prefill(network, 1, room, n, seen) for n in lengths if seen % n == 0}
    return found | {
        "decode": programs.decode(network, 1, room, seen),
        f"generate_{GENERATED}": programs.generate(network, 1, room, GENERATED, seen),
    }


def writes(model: "tf_keras.Model") -> bool:
    """Whether it is a decoder that tells the next token, behind its window or at each place: a text is written so."""
    return is_decoder(model) and len(model.outputs) == 1 and len(model.outputs[0].shape) in (2, 3)


def everywhere(model: "tf_keras.Model") -> str | None:
    """The signature that answers for a decoder which is asked at every place of its window; None: another model."""
    return f"score_{model.input_shape[1]}" if writes(model) and len(model.outputs[0].shape) == 3 else None


def check(model: "tf_keras.Model", entry: "Quantize") -> None:
    """Refuse what such a decoder is not made with, and of any other model what is a decoder's alone.

    Raises:
        ConversionError: the window of a decoder is open.
        ParamsError: the scheme, or a key of the entry, is none for the model.
    """
    if not writes(model):
        if given := [key for key in CACHES if getattr(entry, key)]:
            raise ParamsError(
                f"{given[0]}: {entry.model!r} does not tell the token behind a text, and keeps nothing; leave it out"
            )
        return
    if "room" not in SCHEMES.load(entry.scheme).takes:
        raise ParamsError(
            f"scheme: {entry.model!r} is a decoder, and {entry.scheme} has no form of one with its caches; use "
            f"{', '.join(taking('room'))}"
        )
    others = {"sparse": entry.sparse, "exclude": entry.exclude, "max_quality_drop": entry.max_quality_drop is not None}
    if given := [key for key, said in others.items() if said]:
        raise ParamsError(f"{given[0]}: {entry.model!r} is a decoder, for which it means nothing; leave it out")
    if entry.bits and (entry.block is None or set(entry.bits.values()) != {8}):
        raise ParamsError(
            f"bits: {entry.model!r} is a decoder: with scheme int4-dynamic and a `block` its layers may have 8; "
            "leave it out"
        )
    if model.input_shape[1] is None:
        raise ConversionError(f"input of the shape {model.input_shape}; only the first axis may be open")
    plan(model, entry)


def plan(model: "tf_keras.Model", entry: "Quantize") -> tuple[tuple[int, ...], int]:
    """How many tokens each prefill takes, and how many the caches hold: a multiple of each of these.

    So a part of a prompt that is filled up to a prefill's length never reaches beyond the caches, where it would be
    written earlier, without a word.

    Raises:
        ParamsError: there is no such room.
    """
    window, most = model.input_shape[1], limit(model) or math.inf
    lengths = tuple(sorted(set(entry.prefill or (window,))))
    step = math.lcm(*lengths)
    room = entry.room or min(-(-(window + BEHIND) // step), most // step) * step
    told = f"a multiple of {', '.join(map(str, lengths))} (prefill), at least {window} (the window)"
    if most < math.inf:
        told += f", at most {most} (what the model was made for)"
    if room % step or not window <= room <= most:
        said = f"room: received {room}" if entry.room else "room: there is none to choose"
        raise ParamsError(f"{said}; it is {told}; choose another, or other lengths of prefill")
    return lengths, int(room)


def rooms(lengths: Sequence[int], room: int) -> list[int]:
    """All rooms of a file, the largest last: each at least twice the one before, a multiple of the short prefills."""
    step = math.lcm(*[n for n in lengths if n <= SMALLEST] or [min(lengths)])
    found = [-(-SMALLEST // step) * step]
    while 2 * found[-1] <= room:
        found.append(2 * found[-1])
    return [*found[:-1], room]


def calls(lengths: Sequence[int], room: int, window: int, verify: Sequence[int] = ()) -> dict[str, tuple[int, int]]:
    """Every signature of a file by name: the tokens that it takes, and those that its caches hold.

    The scores of a window need no more room than that.
    """
    whole = {**{f"prefill_{n}": n for n in lengths}, "decode": 1}
    judging = {VERIFY.format(n): n for n in verify}
    *smaller, _ = every = rooms(lengths, room)
    found = {IN_ROOM.format(r, name): (n, r) for r in smaller for name, n in whole.items() if r % n == 0}
    found |= {IN_ROOM.format(r, name): (n, r) for r in smaller for name, n in judging.items()}
    whole |= judging
    found |= {name: (n, room) for name, n in whole.items()}
    return found | {f"score_{window}": (window, next(r for r in every if r >= window))}


def _converter(model: "tf_keras.Model", lengths: Sequence[int], room: int, entry: "Quantize", folder: Path) -> Any:
    """TensorFlow's converter, of a SavedModel in `folder` with all signatures."""
    import tensorflow as tf

    named = calls(lengths, room, model.input_shape[1], entry.verify)
    forms = {form: cached(model, *form, entry.cache) for form in sorted(set(named.values()))}
    saved = tf.Module()
    saved.kept = model.variables
    traced = {name: _call(forms[form], scores="prefill" not in name) for name, form in named.items()}
    tf.saved_model.save(saved, str(folder), signatures=traced)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=list(traced))


def _call(form: "tf_keras.Model", *, scores: bool) -> Any:
    """A function of the named inputs of a decoder with its caches; without scores it computes none."""
    import tensorflow as tf

    def call(**given: Any) -> dict[str, Any]:
        found: dict[str, Any] = form(given, training=False)
        return {name: tensor for name, tensor in found.items() if scores or name != LOGITS}

    described = {name: tf.TensorSpec(tensor.shape, tensor.dtype, name) for name, tensor in form.input.items()}
    return tf.function(call, autograph=False).get_concrete_function(**described)


def described(content: bytes, model: "tf_keras.Model") -> tuple[litert.Graph, tuple[Signature, ...], "tf_keras.Model"]:
    """What a file of `make` takes and gives, its signatures, and a Keras model that has the same answers.

    An answer are the scores of the token behind a window, float32 [vocabulary], or, of a decoder that is asked at every
    place, those of each next token, float32 [length, vocabulary].
    """
    import tf_keras as keras

    calls = signatures.read(tflite.parse(content))
    tokens, scores = signatures.language(model.name, calls)
    tokens = tokens.model_copy(update={"shape": tuple(model.input_shape[1:])})
    logits = model.get_layer(LOGITS).output
    if everywhere(model):
        scores = scores.model_copy(update={"shape": tuple(logits.shape[1:])})
        graph = replace(litert.inspect(content), inputs=(tokens,), outputs=(scores,))
        return graph, calls, keras.Model(model.input, logits, name=model.name)
    last = keras.layers.Reshape(scores.shape)(keras.layers.Cropping1D((logits.shape[1] - 1, 0))(logits))
    graph = replace(litert.inspect(content), inputs=(tokens,), outputs=(scores,))
    return graph, calls, keras.Model(model.input, last, name=model.name)
