"""Evaluate a variant: the quality of the artifact itself, by the runtime that is timed."""

import hashlib
import math
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tasks import dataset, paths
from tasks.bench import transport
from tasks.dataset import LABEL, Examples
from tasks.errors import UnsupportedError
from tasks.params import Params
from tasks.records import ArtifactCard, ClassFigures, Evaluation, Score, read

Z95 = 1.959963984540054  # the 97.5th percentile of the normal distribution
TIMEOUT_S = 1800.0
Kernels = Literal["default", "reference"]
Split = Literal["validation", "test"]


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
            scores.append(_score(outputs, examples[split], kernels, split))
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


def wilson(correct: int, n: int, z: float = Z95) -> tuple[float, float]:
    """The score interval of a proportion: E. B. Wilson, "Probable inference" (1927)."""
    share = correct / n
    centre = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # at the ends rounding could leave the share itself outside
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return min(max(0.0, low), share), max(min(1.0, high), share)


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
        request = {
            "action": "predict",
            "model": str(paths.artifact(card.variant) / card.file),
            "kernels": kernels,
            "threads": 1,
            "inputs": str(inputs),
            "outputs": str(outputs),
        }
        response = transport.run(request, timeout_s=TIMEOUT_S)
        if response["status"] != "ok":
            raise UnsupportedError(f"{card.variant}: {response['reason']}")
        with np.load(outputs, allow_pickle=False) as arrays:
            return arrays[card.outputs[0].name], response["environment"]["runtime"]


def _score(outputs: Any, examples: Examples, kernels: Kernels, split: Split) -> Score:
    predictions = outputs.argmax(axis=1)
    correct, n = int((predictions == examples.targets[LABEL]).sum()), len(predictions)
    low, high = wilson(correct, n)
    return Score(
        metric="accuracy",
        value=correct / n,
        low=low,
        high=high,
        n=n,
        kernels=kernels,
        split=split,
        predictions=tuple(int(p) for p in predictions),
        outputs_sha256=hashlib.sha256(np.ascontiguousarray(outputs, np.float32).tobytes()).hexdigest(),
    )
