"""Judging an artifact where it runs: of its answers only what the metric keeps comes back, however wide they are."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks import closure
from tasks.bench.answers import Facts
from tasks.bench.request import Artifact, Questions
from tasks.bench.setup import Setup, accepted
from tasks.errors import ParamsError
from tasks.examples import Examples, save_inputs
from tasks.records import judged
from tasks.records.metrics import METRICS, Kept
from tasks.scratch import scratch

TIMEOUT_S = 1800.0  # a whole split


def questions(
    folder: Path, name: str, examples: Examples, metric: str | None = None, reference: Artifact | None = None
) -> Questions:
    """Write what the runner reads to judge an artifact by some examples.

    Args:
        folder: where to.
        name: of the files there.
        examples: model-ready ones.
        metric: by which; None: all that is answered is kept.
        reference: what the metric compares with, where it compares.

    Raises:
        ParamsError: it compares, and there is no reference here.
    """
    beside = metric is not None and METRICS.load(metric).beside
    if beside and reference is None:
        raise ParamsError(f"evaluate.metric: {metric!r} compares answers with the reference's, and here is none to ask")
    inputs, targets = folder / f"{name}.npz", folder / f"{name}.targets.npz"
    save_inputs(inputs, examples)
    asked = {each: examples.targets[each] for each in (METRICS.load(metric).asks if metric else ())}
    if asked:
        np.savez(targets, allow_pickle=False, **asked)
    keep = METRICS.load(metric).keep if metric else None
    return Questions(inputs, keep, targets if asked else None, reference if beside else None)


def kept(artifact: Artifact, asked: Questions, setup: Setup) -> tuple[Kept, Facts]:
    """What is kept of an artifact's judged output: the runner sends nothing else.

    Args:
        artifact: the file, as its card describes it.
        asked: on which examples, and by what function.
        setup: what answers.

    Returns:
        It, and what the runner says of where it ran.

    Raises:
        UnsupportedError: the runtime refuses the artifact.
        DeviceError: it crashed, did not end in time, or gives no such output.
    """
    files, function = {**setup.files(artifact), "inputs": asked.inputs}, None
    if asked.keep:
        files["reduction"], function = _function(asked.keep)
    keep: dict[str, Any] = {"output": judged(artifact.card.outputs), "function": function}
    if asked.reference:
        files["reference"] = setup.model(asked.reference)
        options = setup.ask("predict", asked.reference)["options"]
        keep["reference"] = {"output": judged(asked.reference.card.outputs), "options": options}
    if asked.targets:
        files["targets"] = asked.targets
    with scratch("kept") as folder:
        path = Path(folder, "kept.npz")
        ask = {**setup.ask("predict", artifact), "keep": keep}
        answer = setup.session.run(ask, files, {"outputs": path}, timeout_s=TIMEOUT_S)
        accepted(artifact.card.variant, answer)
        assert answer.kept
        with np.load(path, allow_pickle=False) as arrays:
            return Kept(arrays["kept"], **vars(answer.kept)), answer.environment


def _function(target: str) -> tuple[Path, str]:
    """The file of what keeps answers, and its name there."""
    module, _, name = target.partition(":")
    path = closure.place(module)
    if path is None:
        raise ParamsError(f"answers are kept by {target!r}, and there is no such module")
    return path, name
