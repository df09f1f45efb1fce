"""Whether a file that was just written answers as it must, before any figure of it is believed.

Every file gives finite numbers, and the same to an example whatever was asked before it. One of floats answers as the
Keras model does, up to what its arithmetic may change; how far any other lies from the model is told with it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.bench.predict import predict
from tasks.distance import UNIT, apart, rms, rounded
from tasks.errors import ConversionError, DeviceError, UnsupportedError
from tasks.examples import Array, Arrays, Examples
from tasks.formats.schemes import SCHEMES
from tasks.records import Signature
from tasks.scratch import scratch

if TYPE_CHECKING:
    import tf_keras

TRIED = 24  # examples, each asked twice: there and back
WINDOWS = 4  # of text, where each of their tokens is answered: hundreds of answers, of tens of thousands of numbers
# what is no fault: what `rounded` tells, and so many times what Keras's own answers change where every weight is moved
# by one unit
MOVED = 16
Answers = dict[str, Array]


def check(
    content: bytes,
    scheme: str,
    examples: Arrays,
    model: "tf_keras.Model | None" = None,
    calls: Sequence[Signature] = (),
    asked: str | None = None,
    rounding: "tf_keras.Model | None" = None,
) -> float | None:
    """Ask a file for some examples, one after the other, there and back.

    Args:
        content: a LiteRT file.
        scheme: what it was written at.
        examples: model-ready ones, of which the first 24 are asked; 4 where `asked` answers every token of each.
        model: what it was made from; None: it came as a file.
        calls: its signatures, where it has several.
        asked: the one whose scores are the answer; see `predict`.
        rounding: what floats answer as, where the file keeps something in fewer bits; None: as the model.

    Returns:
        How far the answers lie from the model's, as the root mean square over the answers' spread; of several outputs
        the largest. None without a model.

    Raises:
        ConversionError: LiteRT does not run the file, an answer is not finite or hangs from what was asked before, or
            floats answer something else than the model.
    """
    n = min(len(examples), WINDOWS if asked else TRIED)
    there = np.arange(n)
    tried = examples.take(there)
    found = answers(content, examples.take(np.concatenate([there, there[::-1]])), calls, asked)
    for name, array in found.items():
        _check_finite(f"scheme {scheme}: output {name!r}", array[:n])
        _check_memory(name, array[:n], array[n:][::-1])
    if model is None:
        return None
    expected = keras_answers(model, tried)
    for name, array in expected.items():
        _check_finite(f"the Keras model's output {name!r}", array)
    if len(expected) == 1:  # which the converter may call otherwise
        found = dict(zip(expected, found.values(), strict=True))
    given = {name: found[name][:n] for name in expected}
    if SCHEMES.load(scheme).unit:
        same = dict(zip(expected, keras_answers(rounding, tried).values(), strict=True)) if rounding else expected
        _check_floats(given, same, scheme, rounding or model, tried)
    return max(apart(given[name], array) for name, array in expected.items())


def answers(content: bytes, examples: Examples, calls: Sequence[Signature] = (), asked: str | None = None) -> Answers:
    """What LiteRT answers by a file: the outputs, float32 [n, ...], by name.

    Raises:
        ConversionError: it does not run the file.
    """
    with scratch("guard") as folder:
        file = Path(folder, "model.tflite")
        file.write_bytes(content)
        try:
            return predict(file, examples, calls=calls, asked=asked)[0]
        except (DeviceError, UnsupportedError) as error:
            raise ConversionError(f"LiteRT does not run the file: {str(error).removeprefix(f'{file}: ')}") from None


def keras_answers(model: "tf_keras.Model", examples: Arrays) -> Answers:
    """What the model answers: likewise."""
    import tensorflow as tf

    given = [tf.constant(examples.inputs[name]) for name in model.input_names]
    outputs = tf.nest.flatten(model(given if len(given) > 1 else given[0], training=False))
    return {name: output.numpy() for name, output in zip(model.output_names, outputs, strict=True)}


def _check_finite(what: str, answered: Array) -> None:
    bad = np.flatnonzero(~np.isfinite(answered).reshape(len(answered), -1).all(axis=1))
    if bad.size:
        raise ConversionError(
            f"{what} is no finite number for {bad.size} of {len(answered)} calibration examples, first for example "
            f"{bad[0]}; look at the data's range there, and at the model's weights (float16 ends at 65504)"
        )


def _check_memory(name: str, there: Array, back: Array) -> None:
    off = np.abs(there.astype(np.float64) - back).reshape(len(there), -1).max(axis=1)
    if off.any():
        worst = int(off.argmax())
        raise ConversionError(
            f"output {name!r} answers calibration example {worst} otherwise when others were asked before it, by "
            f"{off[worst]:.3g}: the file keeps something from one example to the next, so no figure of it would hold"
        )


def _check_floats(found: Answers, expected: Answers, scheme: str, model: "tf_keras.Model", examples: Arrays) -> None:
    """Refuse answers that are further from Keras's than arithmetic explains."""
    moved: Answers | None = None
    for name, array in expected.items():
        off = rms(found[name] - array)
        allowed = rounded(array)
        if off <= allowed:
            continue
        moved = moved or _moved(model, examples, SCHEMES.load(scheme).unit or UNIT)
        allowed = max(allowed, MOVED * rms(moved[name] - array))
        if off > allowed:
            each = np.abs(found[name] - array).reshape(len(array), -1).max(axis=1)
            worst = int(each.argmax())
            raise ConversionError(
                f"scheme {scheme}: the file does not answer as the Keras model does: output {name!r} is off by "
                f"{off:.2g} over {len(array)} calibration examples, where its arithmetic explains {allowed:.2g}; the "
                f"most at example {worst}, by {each[worst]:.3g}"
            )


def _moved(model: "tf_keras.Model", examples: Arrays, unit: float) -> Answers:
    """What the model answers with every weight moved up or down by one unit in its last place."""
    weights, rng = model.get_weights(), np.random.default_rng(0)
    moved = [
        (w * (1 + unit * rng.choice([-1, 1], w.shape))).astype(w.dtype) if w.dtype.kind == "f" else w for w in weights
    ]
    try:
        model.set_weights(moved)
        return keras_answers(model, examples)
    finally:
        model.set_weights(weights)
