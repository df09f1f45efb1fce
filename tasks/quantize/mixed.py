"""Variants whose layers do not all compute alike: by ai-edge-quantizer, from a float32 file and what was asked for."""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tasks.errors import ConversionError, ParamsError
from tasks.examples import Array, Arrays
from tasks.quality.score import Exam
from tasks.quantize import ai_edge, blocks, clusters, embedding, guard, layers, litert, ranges
from tasks.quantize.ai_edge import Numbers, Rule
from tasks.quantize.made import Made
from tasks.records import Score, Sensitivity, gain, judged

if TYPE_CHECKING:
    import tf_keras

    from tasks.params import Quantize

JUDGED = 1024  # validation examples that a layer's sensitivity is found on
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What every file of a variant is made from."""

    content: bytes  # float32
    operators: tuple[layers.Operator, ...]  # of it
    scheme: str
    numbers: Numbers  # of the scheme
    ranges: dict[str, ranges.Range] | None  # of the activations, where they are integers
    bits: dict[str, int]  # of the weights of single layers
    apart: Numbers | None  # of the layers that are excluded
    few: list[clusters.Rows]  # the kernels that share few values


def as_asked(model: "tf_keras.Model", entry: "Quantize", calibration: Arrays, validation: Exam | None = None) -> Made:
    """Convert a Keras model by TensorFlow's converter, or by layers where an entry asks what that has no way to make.

    Raises:
        ConversionError, ParamsError: as `make`.
    """
    apart = entry.exclude or entry.bits or entry.max_quality_drop is not None
    layered = apart or entry.ranges != "min-max" or entry.granularity != "channel"
    return (make if layered else litert.make)(model, entry, calibration, validation)


def make(model: "tf_keras.Model", entry: "Quantize", calibration: Arrays, validation: Exam | None = None) -> Made:
    """Quantize a Keras model as `entry` says.

    Args:
        model: not trained quantization-aware.
        entry: the variant's section of params.yaml.
        calibration: model-ready examples that set the ranges of integer activations.
        validation: what layers are excluded by; needed for `max_quality_drop`.

    Raises:
        ConversionError: the scheme cannot be kept.
        ParamsError: a layer is named that the artifact does not have.
    """
    start = job(model, entry, calibration)
    always = _excluded(start, entry.exclude)
    if entry.max_quality_drop is None or validation is None:
        made = Made(build(start, always), excluded=always)
    else:
        made = exclude(start, always, entry.max_quality_drop, validation)
    return replace(made, converter=f"{litert.converter()}, {ai_edge.converter()}")


def job(model: "tf_keras.Model", entry: "Quantize", calibration: Arrays) -> Job:
    """Convert a Keras model to float32 and find the ranges of its activations, where the scheme needs them."""
    numbers = ai_edge.numbers(entry.scheme, entry.block, entry.granularity)
    content = litert.convert(model, "float32", calibration)
    found = None
    if numbers.static:
        litert.refuse_loops(model, content, entry.scheme)
        bits = 8 if numbers.activations == "int8" else 16
        found = ranges.find(content, calibration, entry.ranges, entry.percentile, bits)
    else:
        content = embedding.look_up(content)
    operators = layers.read(content, layers.names(model), tuple(model.output_names), model.name)
    of_layers = {**dict.fromkeys(blocks.left(model, entry.block), 8), **_bits(operators, entry.bits)}
    apart = None if entry.exclude_scheme == "float32" else ai_edge.numbers(entry.exclude_scheme)
    return Job(content, operators, entry.scheme, numbers, found, of_layers, apart, clusters.shared(model))


def _excluded(job: Job, asked: Sequence[str]) -> tuple[str, ...]:
    """The layers that `exclude` means, each once; where activations are floats anyhow, those that have weights."""
    weighted = not job.numbers.static
    found = [each for name in asked for each in layers.meant(job.operators, name, "exclude", weighted=weighted)]
    return tuple(dict.fromkeys(found))


def _bits(operators: Sequence[layers.Operator], asked: Mapping[str, int]) -> dict[str, int]:
    """The bits of each layer that `bits` means; what is said of a layer by its name holds before what fits it."""
    found: dict[str, int] = {}
    for name in sorted(asked, key=layers.is_pattern, reverse=True):
        found |= dict.fromkeys(layers.meant(operators, name, "bits", weighted=True), asked[name])
    return found


def build(job: Job, excluded: Collection[str] = ()) -> bytes:
    """The file with all layers at the scheme but those `excluded`.

    Raises:
        ConversionError: a layer has no kernel for its bits, or an operator of an integer scheme that is not excluded
            stays float.
        ParamsError: `bits` name a layer that the artifact does not have.
    """
    rules = _in_blocks(job) if job.numbers.block else rules_of(job.numbers)
    four = []
    for name, bits in job.bits.items():
        named = [operator for operator in layers.of(job.operators, name, "bits") if operator.weights]
        if not named:
            raise ParamsError(f"bits: the layer {name!r} has no weights in the artifact; leave it out")
        rules += [_rule(operator, _with_bits(job.numbers, operator, bits)) for operator in named]
        four += [operator for operator in named if bits == 4]
    left = [operator for name in excluded for operator in layers.of(job.operators, name, "exclude")]
    rules += [Rule(job.apart, operator.scope, operator.kind) for operator in left]
    content = clusters.alike(ai_edge.quantize(job.content, rules, job.ranges), job.few)
    _verify(content, job, four, left)
    return content


def alone(job: Job, operators: Sequence[layers.Operator]) -> bytes:
    """The file with these operators at the scheme and everything else float32."""
    rules = [Rule(None)]
    for operator in operators:
        bits = next((job.bits[name] for name in operator.layers if name in job.bits), job.numbers.weights)
        rules += [Rule(_with_bits(job.numbers, operator, b), operator.scope) for b in dict.fromkeys((8, bits))]
    return ai_edge.quantize(job.content, rules, job.ranges)


def sensitivity(job: Job, validation: Exam) -> tuple[Sensitivity, ...]:
    """What each layer loses where it alone is quantized, the most sensitive first.

    One at a time, as in H. Wu et al., "Integer Quantization for Deep Learning Inference: Principles and Empirical
    Evaluation" (2020), section 5.2: no gradients are needed, and it is the file itself that is judged. Layers stand in
    the order of the noise that they bring into the outputs: among drops of quality, of which most are a few examples,
    chance would choose.

    Args:
        job: see `job`.
        validation: of which the first 1,024 examples are looked at.

    Raises:
        ConversionError: the runtime does not run the file of some layer.
    """
    exam = validation.first(JUDGED)
    outputs, whole = _judge(job.content, exam)
    found = []
    for name, operators in layers.owners(job.operators, weighted=not job.numbers.static).items():
        theirs, own = _judge(alone(job, operators), exam)
        found.append(
            Sensitivity(
                layer=name,
                operators=tuple(operator.kind for operator in operators),
                quality_drop=-gain(own.better, own.value, whole.value),
                unit=own.unit,
                sqnr_db=sqnr_db(outputs, theirs),
                n=own.n,
            )
        )
    return tuple(sorted(found, key=lambda each: math.inf if each.sqnr_db is None else each.sqnr_db))


def exclude(job: Job, always: tuple[str, ...], bound: float, validation: Exam) -> Made:
    """Exclude the most sensitive layers, one more each time, until the file is no worse than `bound` allows.

    The search is that of the paper that `sensitivity` names. Where no number of layers is enough, the best file found
    is returned, and the log says what it lacks.

    Args:
        job: see `job`.
        always: layers to exclude in any case.
        bound: how much worse than the float32 file's the quality on validation data may be, in its own unit.
        validation: the whole split.
    """
    table = sensitivity(job, validation)
    _, whole = _judge(job.content, validation)
    order = [each.layer for each in table if each.layer not in always]
    best: Made | None = None
    most = len(order) if job.apart else len(order) - 1  # with every layer float32 there were no such variant
    for count in range(max(most, 0) + 1):
        excluded = (*always, *order[:count])
        content = build(job, excluded)
        own = _judge(content, validation)[1]
        drop = -gain(own.better, own.value, whole.value)
        if best is None or best.drop is None or drop < best.drop:
            best = Made(content, excluded=excluded, drop=drop, sensitivity=table)
        if drop <= bound:
            break
    assert best is not None
    assert best.drop is not None
    if best.drop > bound:
        found = f"{len(best.excluded)} of {len(order) + len(always)} layers excluded"
        log.warning(
            "max_quality_drop %g is not reached; the best found is %.4f worse than float32: %s", bound, best.drop, found
        )
    return best


def sqnr_db(signal: dict[str, Array], other: dict[str, Array]) -> float | None:
    """Signal to quantization noise of all outputs together, in decibels; None where there is no noise."""
    power = sum(float(np.square(array, dtype=np.float64).sum()) for array in signal.values())
    noise = sum(float(np.square(signal[name] - other[name], dtype=np.float64).sum()) for name in signal)
    return 10 * math.log10(power / noise) if noise and power else None


def rules_of(numbers: Numbers) -> list[Rule]:
    """A scheme: what has no kernel of 4 bits takes 8, and rows of tables are read as they are stored."""
    steps = [Numbers(8, numbers.activations), numbers]
    rules = [Rule(step) for step in dict.fromkeys(steps)]
    if not numbers.static:
        rules += [Rule(Numbers(step.weights, "dynamic"), kind=blocks.LOOKUP) for step in dict.fromkeys(steps)]
    return rules


def _in_blocks(job: Job) -> list[Rule]:
    """Dense layers of 4 bits in blocks, but those that `bits` gives 8."""
    known = {name: True for operator in job.operators if operator.weights for name in operator.layers}
    found = list(blocks.products(job.content, known))
    return blocks.rules(
        found, job.numbers, {each.layer for each in found if each.layer and job.bits.get(each.layer) == 8}
    )


def _with_bits(numbers: Numbers, operator: layers.Operator, bits: int) -> Numbers:
    table = operator.kind == blocks.LOOKUP and not numbers.static
    block = numbers.block if bits == 4 and operator.kind == blocks.PRODUCT else None
    return Numbers(4 if bits == 4 else 8, "dynamic" if table else numbers.activations, block, numbers.granularity)


def _rule(operator: layers.Operator, numbers: Numbers) -> Rule:
    return Rule(numbers, operator.scope, operator.kind)


def _verify(content: bytes, job: Job, four: Sequence[layers.Operator], left: Sequence[layers.Operator]) -> None:
    """What was asked for is there: the quantizer passes silently over rules that it cannot keep."""
    after = layers.read(content, {})
    weights = {operator.scope: operator.weights for operator in after}
    if missing := [operator.scope for operator in four if weights.get(operator.scope) != "int4"]:
        raise ConversionError(f"bits: 4 was asked for and not kept for {', '.join(missing)}; give it 8")
    if job.numbers.static:
        made = {operator.scope: operator.layers for operator in job.operators}
        excluded = {operator.scope for operator in left}
        kept = [
            replace(operator, layers=made.get(operator.scope, ()))
            for operator in after
            if operator.floats and not (left and (operator.kind in layers.BETWEEN or operator.scope in excluded))
        ]
        layers.refuse_floats(kept, job.scheme, "use ranges: min-max without exclude and bits")


def _judge(content: bytes, exam: Exam) -> tuple[dict[str, Array], Score]:
    """What a file answers, and the quality of that."""
    outputs = guard.answers(content, exam.examples)
    return outputs, exam.score(outputs[judged(litert.inspect(content).outputs)])
