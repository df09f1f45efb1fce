"""Quantize a model into a variant: a file that can be deployed, and its card."""

import gzip
import hashlib
from importlib.metadata import version

from tasks import dataset, files, fit, keras_models, paths
from tasks.params import Params
from tasks.quantize import aware, litert
from tasks.records import ArtifactCard

FILE = "model.tflite"


def quantize(params: Params, variant: str) -> None:
    """Convert the model of `params.quantize[variant]` at its scheme; write `out/artifacts/<variant>/`."""
    entry = params.quantize[variant]
    fit.reset(entry.seed)
    model, card = keras_models.load(entry.model)
    if entry.aware_epochs:
        model = aware.apply(model, card, entry, dataset.load("train"), dataset.load("validation"))
    content = litert.convert(model, entry.scheme, dataset.load("calibration"))
    graph = litert.inspect(content)
    with files.replaced_folder(paths.artifact(variant)) as folder:
        (folder / FILE).write_bytes(content)
        ArtifactCard(
            variant=variant,
            model=entry.model,
            scheme=entry.scheme,
            file=FILE,
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            gzip_bytes=len(gzip.compress(content, 9, mtime=0)),
            inputs=graph.inputs,
            outputs=graph.outputs,
            operators=graph.operators,
            aware_epochs=entry.aware_epochs,
            converter=f"tensorflow {version('tensorflow')}",
        ).save(folder / "card.json")
