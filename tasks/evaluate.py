"""Evaluate a variant: the quality of the artifact itself, by the runtime that is timed."""

import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tasks import dataset, paths
from tasks.bench.transport import Local
from tasks.dataset import LABEL, Examples
from tasks.errors import UnsupportedError
from tasks.params import Params
from tasks.records import ArtifactCard, ClassFigures, Evaluation, Split, read
from tasks.score import score

TIMEOUT_S = 1800.0
Kernels = Literal["default", "reference"]


def evaluate(params: Params, variant: str) -> None:  # noqa: ARG001  # every stage takes the parameters
    """Score `out/artifacts/<variant>/` on the validation and the test split; write its evaluation.

    An integer artifact is scored by the runtime's portable reference kernels too: they stand in for devices that
    cannot execute here.

    Raises:
        UnsupportedError: the host's runtime refuses the artifact.
    """
    card = read(ArtifactCard, paths.artifact(variant) / "card.json")
    integer = all(tensor.dtype.startswith("int") for tensor in card.outputs)
    kinds: tuple[Kernels, ...] = ("default", "reference") if integer else ("default",)
    splits: tuple[Split, ...] = ("validation", "test")
    examples = {split: dataset.load(split) for split in splits}
    scores, runtime = [], ""
    for kernels in kinds:
        for split in splits:
            outputs, runtime = _outputs(card, examples[split], kernels)
            scores.append(score(outputs, examples[split], kernels, split))
    test = next(s for s in scores if s.split == "test" and s.kernels == "default")
    confusion = confusion_matrix(
        examples["test"].targets[LABEL], np.array(test.predictions), len(dataset.spec().classes)
    )
    Evaluation(
        variant=variant,
        artifact_sha256=card.sha256,
        runtime=runtime,
        scores=tuple(scores),
        classes=class_figures(confusion, dataset.spec().classes),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    ).save(paths.evaluation(variant))


def confusion_matrix(true: Any, predicted: Any, classes: int) -> Any:
    """Counts [classes, classes]: rows are true classes, columns predicted ones."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def class_figures(confusion: Any, names: tuple[str, ...]) -> tuple[ClassFigures, ...]:
    """Precision and recall of each class, null where they have no denominator."""
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    return tuple(
        ClassFigures(
            name=name,
            n=int(true[i]),
            precision=float(confusion[i, i] / predicted[i]) if predicted[i] else None,
            recall=float(confusion[i, i] / true[i]) if true[i] else None,
        )
        for i, name in enumerate(names)
    )


def _outputs(card: ArtifactCard, examples: Examples, kernels: Kernels) -> tuple[Any, str]:
    """The class scores float32 [n, classes], and the runtime that gave them."""
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        np.savez(inputs, allow_pickle=False, **examples.inputs)
        request = {"action": "predict", "runtime": "litert", "options": {"kernels": kernels, "threads": 1}}
        files = {"model": paths.artifact(card.variant) / card.file, "inputs": inputs}
        response = Local().run(request, files, {"outputs": outputs}, timeout_s=TIMEOUT_S)
        if response["status"] != "ok":
            raise UnsupportedError(f"{card.variant}: {response['reason']}")
        with np.load(outputs, allow_pickle=False) as arrays:
            return arrays[card.outputs[0].name], response["environment"]["runtime"]
