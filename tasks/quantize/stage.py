"""Quantize a model into a variant: a file that can be deployed, and its card."""

import gzip
import hashlib
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import dataset, files, fit, keras_models, paths
from tasks.dataset import Examples
from tasks.errors import ConversionError
from tasks.params import Params
from tasks.quantize import aware, litert, stablehlo
from tasks.records import ArtifactCard, Program

if TYPE_CHECKING:
    import tf_keras

FILE = "model.tflite"
log = logging.getLogger(__name__)


def quantize(params: Params, variant: str) -> None:
    """Convert the model of `params.quantize[variant]` at its scheme; write `out/artifacts/<variant>/`."""
    entry = params.quantize[variant]
    fit.reset(entry.seed)
    model, card = keras_models.load(entry.model)
    if entry.aware_epochs:
        model = aware.apply(model, card, entry, dataset.load("train"), dataset.load("validation"))
    with files.replaced_folder(paths.artifact(variant)) as folder:
        write(folder, model, dataset.load("calibration"), {"variant": variant, **entry.model_dump()})


def write(folder: Path, model: "tf_keras.Model", calibration: Examples, entry: Mapping[str, Any]) -> None:
    """Convert a Keras model into `folder`: the files of a variant and their card.

    Args:
        folder: an empty one.
        model: a Keras model.
        calibration: examples that set the ranges of integer activations.
        entry: `variant` (its name), `model` (its model's), `scheme` and `aware_epochs`.

    Raises:
        ConversionError: the model cannot be converted as the scheme promises.
    """
    content = litert.convert(model, entry["scheme"], calibration)
    graph = litert.inspect(content)
    program, lacks = _program(model, entry["scheme"], graph)
    (folder / FILE).write_bytes(content)
    if program:
        (folder / stablehlo.FILE).write_bytes(program)
    ArtifactCard(
        variant=entry["variant"],
        model=entry["model"],
        scheme=entry["scheme"],
        file=FILE,
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        gzip_bytes=len(gzip.compress(content, 9, mtime=0)),
        inputs=graph.inputs,
        outputs=graph.outputs,
        operators=graph.operators,
        aware_epochs=entry["aware_epochs"],
        converter=f"tensorflow {version('tensorflow')}",
        stablehlo=_about(program, graph) if program else None,
        no_stablehlo=lacks,
    ).save(folder / "card.json")


def _program(model: "tf_keras.Model", scheme: str, graph: litert.Graph) -> tuple[bytes | None, str | None]:
    """The variant's StableHLO, or why it has none: that keeps it from some devices, and from nothing else."""
    try:
        return stablehlo.convert(model, scheme, graph), None
    except ConversionError as error:
        if scheme in stablehlo.SCHEMES:
            log.warning("it cannot run through PJRT: %s", error)
        return None, str(error)


def _about(program: bytes, graph: litert.Graph) -> Program:
    return Program(
        file=stablehlo.FILE,
        sha256=hashlib.sha256(program).hexdigest(),
        bytes=len(program),
        inputs=tuple(tensor.name for tensor in graph.inputs),
        outputs=tuple(tensor.name for tensor in graph.outputs),
    )
