"""Stage `evaluate`: the quality of the artifact itself, by the runtime that is timed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tasks import paths
from tasks.bench import judging, writing
from tasks.bench.judging import kept
from tasks.bench.predict import Kernels, litert
from tasks.bench.request import Made, Questions, made_in
from tasks.examples import Array, Examples, dataset, first, normal, preprocess, save_inputs, vocabulary
from tasks.examples.dataset import LABEL
from tasks.files import sha256
from tasks.formats import tflite
from tasks.params import Params
from tasks.quality import choices, confusion, one_vs_rest, questions
from tasks.quality.score import grade, metric_of
from tasks.records import Choices, ClassFigures, Evaluation, Sample, Score, Split
from tasks.records.metrics import METRICS
from tasks.scratch import scratch


def evaluate(params: Params, variant: str) -> None:
    """Score `out/artifacts/<variant>/` on the validation and the test split; write its evaluation.

    Quality is what `evaluate.metric` says, or what is usual for the task. The questions of `evaluate.choices` are
    asked beside it.

    An artifact of integers throughout is scored by the runtime's portable reference kernels too: they stand in for
    devices that cannot execute here.

    Raises:
        UnsupportedError: the host's runtime refuses the artifact.
        DataError: there are no such questions, or the metric tells of a class that is not what is looked for.
    """
    artifact = made_in(paths.artifact(variant))
    splits: tuple[Split, ...] = ("validation", "test")
    examples = {split: dataset.load(split) for split in splits}
    metric = metric_of(examples["test"], params.metric)
    _check_looked_for(metric, dataset.spec().classes)
    scores, runtime, chosen = [], "", None
    with scratch("evaluate") as folder:
        reference = made_in(paths.artifact(params.benchmark.reference)) if METRICS.load(metric).beside else None
        asked = {split: judging.questions(folder, split, examples[split], metric, reference) for split in splits}
        for kernels in kernels_for(artifact.path):
            for split in splits:
                answers, where = kept(artifact, asked[split], litert(kernels))
                scores.append(grade(answers, examples[split].targets[LABEL], kernels, split, metric))
                runtime = where["runtime"]
        if params.choices:
            chosen = _choices(folder, artifact, Path(params.choices))
    test = next(s for s in scores if s.split == "test" and s.kernels == "default")
    classes, counts = _by_class(test, examples["test"].targets[LABEL])
    Evaluation(
        sample=_sample(artifact, examples["validation"]),
        variant=variant,
        artifact_sha256=artifact.card.sha256,
        runtime=runtime,
        scores=tuple(scores),
        naive=_naive(test.metric, examples["test"].targets),
        classes=classes,
        confusion=tuple(map(tuple, counts.tolist())),
        choices=chosen,
    ).save(paths.evaluation(variant))


def _check_looked_for(metric: str, classes: tuple[str, ...]) -> None:
    if METRICS.load(metric).of_second and len(classes) == 2:
        normal.check(classes, f"evaluate.metric: {metric} is how many of the second class are found")


def _by_class(test: Score, truth: Array) -> tuple[tuple[ClassFigures, ...], Array]:
    """How each class fares, and which is taken for which; nothing where a metric keeps neither classes nor scores."""
    names, scores = dataset.spec().classes, np.array(test.kept)
    by_class = METRICS.load(test.metric).by_class
    if not test.predictions and not by_class:
        return (), np.zeros((0, 0), np.int64)
    predicted = scores.argmax(axis=1) if by_class else np.array(test.predictions)
    areas = one_vs_rest.of_each(scores, truth) if by_class else ()
    return confusion.figures(truth, predicted, names, areas), confusion.matrix(truth, predicted, len(names))


def _sample(artifact: Made, validation: Examples) -> Sample | None:
    """What a language model's file writes behind the first window of the validation text; None where it is no text.

    Raises:
        UnsupportedError: the runtime refuses the artifact.
    """
    if artifact.card.scenario != "generate":
        return None
    (entry,) = preprocess.read(paths.DATA / "preprocess.json")["inputs"].values()
    words, (window,) = vocabulary.maker(entry), first(validation, 1).inputs.values()
    prompt = writing.fits(artifact, window[0])
    if words is None or not len(prompt):
        return None
    tokens = writing.written(artifact, prompt, litert())
    before = words.decode(prompt.tolist(), skip_special_tokens=False)
    return Sample(before=before, text=vocabulary.behind(words, prompt.tolist(), list(tokens)), tokens=tokens)


def _choices(folder: Path, artifact: Made, path: Path) -> Choices:
    """What the artifact answers to the multiple-choice questions of a file.

    Raises:
        DataError: the file has no such questions.
        UnsupportedError: the runtime refuses the artifact.
    """
    found = questions.read(path)
    ((name, entry),) = preprocess.read(paths.DATA / "preprocess.json")["inputs"].items()
    asked = questions.ask(found, name, entry)
    inputs, targets = folder / "choices.npz", folder / "choices.targets.npz"
    save_inputs(inputs, asked.examples)
    np.savez(targets, allow_pickle=False, **asked.examples.targets)
    answers, _ = kept(artifact, Questions(inputs, choices.KEEP, targets), litert())
    return choices.grade(answers, asked, found, path.name, sha256(path))


def _naive(metric: str, targets: Mapping[str, Array]) -> float | None:
    """The quality of who answers by the training targets, and looks at no example."""
    naive = METRICS.load(metric).naive
    return None if naive is None else naive(dataset.targets("train"), targets)


def kernels_for(artifact: Path) -> tuple[Kernels, ...]:
    """By which kernels a LiteRT file is scored.

    The reference kernels are not asked for floats among integers: they lack some, and no device that they stand in for
    runs them.
    """
    file = tflite.load(artifact)
    ends = (file.main.tensors[i].dtype for i in file.main.outputs)
    integer = all(dtype.startswith("int") for dtype in ends) and "float32" not in file.dtypes()
    return ("default", "reference") if integer else ("default",)
