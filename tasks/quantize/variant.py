"""A variant: what a model becomes at a scheme, the files that can be deployed and their card."""

import hashlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import files
from tasks.decoder.cached import rounding
from tasks.errors import ConversionError, ParamsError
from tasks.examples import Arrays, dataset
from tasks.formats import sizes
from tasks.formats.schemes import SCHEMES
from tasks.params import Quantize
from tasks.quality.score import Exam
from tasks.quantize import as_is, aware, guard, language, litert, notes, signatures, stablehlo
from tasks.quantize.made import Made
from tasks.records import ArtifactCard, Program, Signature
from tasks.registry import named
from tasks.training import fit, keras_files

if TYPE_CHECKING:
    import tf_keras

FILE = "model.tflite"
log = logging.getLogger(__name__)


def make(folder: Path, variant: str, entry: Quantize, place: Callable[[str], Path], metric: str | None = None) -> None:
    """Write the variant that an entry of `quantize` asks for.

    Args:
        folder: where to; a kill leaves there what there was.
        variant: its name.
        entry: the model and the scheme.
        place: where models lie, by name.
        metric: what quality is, for `max_quality_drop`; None: what is usual for the data.

    Raises:
        ConversionError, ModelError: the model cannot be converted, or trained, as the entry asks.
    """
    if SCHEMES.load(entry.scheme).converts is None:
        with files.replaced_folder(folder) as temporary:
            as_is.write(temporary, variant, entry.model, place(entry.model), dataset.load("calibration").arrays())
        return
    fit.reset(entry.seed)
    model, card = keras_files.load_from(place(entry.model))
    if entry.aware_epochs:
        _check(variant, entry, model)
        model = aware.apply(model, card, entry, dataset.load("train"), dataset.load("validation"))
    validation = Exam(dataset.load("validation"), metric) if entry.max_quality_drop is not None else None
    with files.replaced_folder(folder) as temporary:
        write(temporary, variant, entry, model, dataset.load("calibration").arrays(), validation)


def write(
    folder: Path,
    variant: str,
    entry: Quantize,
    model: "tf_keras.Model",
    calibration: Arrays,
    validation: Exam | None = None,
) -> None:
    """Convert a Keras model into `folder`: the files of a variant and their card.

    Args:
        folder: an empty one.
        variant: its name.
        entry: how; quantization-aware training has happened already.
        model: a Keras model.
        calibration: examples that set the ranges of integer activations, and that the file is tried on.
        validation: examples that decide which layers are excluded; for `max_quality_drop`.

    Raises:
        ConversionError: the model cannot be converted as the scheme promises, or the file does not answer as it must.
        ParamsError: the entry names a layer that the artifact does not have.
    """
    made = _convert(variant, entry, model, calibration, validation)
    described = language.described if language.writes(model) else _described
    graph, calls, answering = described(made.content, model)
    asked, kept = language.everywhere(model), rounding(answering, entry.cache) if entry.cache else None
    with ThreadPoolExecutor(1) as other:  # of half a GB it takes a minute of one processor
        weighed = other.submit(sizes.of, made.content)
        distance = guard.check(made.content, entry.scheme, calibration, answering, calls, asked, kept)
        program, lacks = _program(model, entry, graph)
    beside = language.PROGRAMS if calls else stablehlo.FILE
    (folder / FILE).write_bytes(made.content)
    if program:
        (folder / beside).write_bytes(program)
    ArtifactCard(
        variant=variant,
        model=entry.model,
        scheme=entry.scheme,
        file=FILE,
        sha256=hashlib.sha256(made.content).hexdigest(),
        **weighed.result(),
        inputs=graph.inputs,
        outputs=graph.outputs,
        signatures=calls,
        state_bytes=signatures.state_bytes(calls),
        operators=graph.operators,
        aware_epochs=entry.aware_epochs,
        ranges=entry.ranges,
        excluded=made.excluded,
        allowed_drop=entry.max_quality_drop,
        validation_drop=made.drop,
        sensitivity=made.sensitivity,
        distance=distance,
        note=notes.of(made.content, entry.scheme, excluded=bool(made.excluded)),
        converter=made.converter,
        stablehlo=_about(beside, program, graph) if program else None,
        no_stablehlo=lacks,
        params=entry.known(),
    ).save(folder / "card.json")


def _convert(
    variant: str, entry: Quantize, model: "tf_keras.Model", calibration: Arrays, validation: Exam | None
) -> Made:
    """The file, by what its scheme is converted by."""
    converts = SCHEMES.load(entry.scheme).converts
    assert converts  # a file that is taken as it is comes from no model
    _check(variant, entry, model)
    try:
        if language.writes(model):
            return language.make(model, entry)
        made: Made = named(converts)(model, entry, calibration, validation)
    except ParamsError as error:
        raise ParamsError(f"quantize.{variant}.{error}") from None
    return made


def _check(variant: str, entry: Quantize, model: "tf_keras.Model") -> None:
    try:
        language.check(model, entry)
    except ParamsError as error:
        raise ParamsError(f"quantize.{variant}.{error}") from None


def _described(content: bytes, model: "tf_keras.Model") -> tuple[litert.Graph, tuple[Signature, ...], "tf_keras.Model"]:
    """What a file takes and gives where its model answers each example by itself, its signatures and the model."""
    return litert.inspect(content), (), model


def _program(model: "tf_keras.Model", entry: Quantize, graph: litert.Graph) -> tuple[bytes | None, str | None]:
    """The variant's StableHLO, or why it has none: that keeps it from some devices, and from nothing else."""
    try:
        if language.writes(model):
            return language.programs_of(model, entry), None
        return stablehlo.convert(model, entry.scheme, graph), None
    except ConversionError as error:
        if SCHEMES.load(entry.scheme).stablehlo:
            log.warning("it cannot run through PJRT: %s", error)
        return None, str(error)


def _about(file: str, program: bytes, graph: litert.Graph) -> Program:
    return Program(
        file=file,
        sha256=hashlib.sha256(program).hexdigest(),
        bytes=len(program),
        inputs=tuple(tensor.name for tensor in graph.inputs),
        outputs=tuple(tensor.name for tensor in graph.outputs),
    )
