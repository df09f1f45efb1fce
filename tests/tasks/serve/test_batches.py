"""Several examples in one call, where the file allows it, answer as one after the other."""

import asyncio
import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.serve import batches
from tasks.serve.batches import SIZE, Wide, joined, widened
from tasks.serve.bundle import Bundle, opened
from tasks.serve.classifier import JSON, Classifier
from tasks.serve.counts import Counts
from tasks.serve.pool import Job
from tests.bundles import GOLDEN, noise
from tests.serving import bundle

SEQUENCE = {"sequence": {"kind": "array", "shape": [5, 2], "dtype": "float32"}}
IMAGES = noise(SIZE + 3)


def made(folder: Path, program: str, module: str = "litert", **also: Any) -> Bundle:
    return opened(bundle(folder / program, GOLDEN / program, module=module, **also))


def jobs(*bodies: Any) -> list[Job]:
    loop = asyncio.new_event_loop()
    try:
        return [Job(JSON, json.dumps({"instances": body}).encode(), loop.create_future()) for body in bodies]
    finally:
        loop.close()


@pytest.mark.parametrize("program", ["float32.tflite", "int8.tflite", "float16.tflite"])
def test_a_free_axis_takes_several_and_answers_as_single_calls(tmp_path: Path, program: str) -> None:
    found = made(tmp_path, program)
    classifier = Classifier(found, 1, Counts())
    wide = batches._resized(found, found.model(1), 1)
    assert wide is not None
    bodies = [[IMAGES[0].tolist()], IMAGES[1:].tolist(), [IMAGES[0].tolist()]]
    classifier.wide = None
    apart = [json.loads(answer.content)["predictions"] for answer in classifier(jobs(*bodies))]
    calls = []
    wide.invoke, run = lambda: calls.append(run()), wide.invoke
    classifier.wide = Wide(wide, 1)
    together = [json.loads(answer.content)["predictions"] for answer in classifier(jobs(*bodies))]
    assert len(calls) == 2, "13 examples in calls of 8"
    for one, other in zip(chain(*apart), chain(*together), strict=True):
        assert one["index"] == other["index"]
        np.testing.assert_allclose(one["score"], other["score"], rtol=1e-5)


def test_a_fixed_axis_takes_one(tmp_path: Path) -> None:
    found = made(tmp_path, "recurrent.tflite", inputs=SEQUENCE)
    assert widened(found, found.model(1), 1) is None


def test_what_answers_otherwise_or_costs_more_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made(tmp_path, "float32.tflite")
    model, wide = found.model(1), batches._resized(found, found.model(1), 1)
    real = batches._timed
    took = {id(model): 1.0, id(wide): 3.5}
    monkeypatch.setattr(batches, "_resized", lambda *_: wide)
    monkeypatch.setattr(batches, "_timed", lambda each, example: (took[id(each)], real(each, example)[1]))
    usual = widened(found, model, 1)
    assert usual is not None
    assert usual.worth == 4, "three single calls cost less than one of all, four more"
    took[id(wide)] = 8.0
    assert widened(found, model, 1) is None
    took[id(wide)] = 2.0
    off = {id(model): 0.0, id(wide): 0.01}
    monkeypatch.setattr(
        batches, "_timed", lambda each, example: (took[id(each)], [v + off[id(each)] for v in real(each, example)[1]])
    )
    assert widened(found, model, 1) is None


def test_few_examples_are_filled_up_by_the_last(tmp_path: Path) -> None:
    examples = [[("x", np.full((1, 2), k))] for k in range(3)]
    ((name, array),) = joined(examples)
    assert name == "x"
    assert array[:, 0].tolist() == [0, 1, 2, 2, 2, 2, 2, 2]


def test_one_wrong_request_among_others_spoils_none(tmp_path: Path) -> None:
    classifier = Classifier(made(tmp_path, "float32.tflite"), 1, Counts())
    alone = [json.loads(classifier(jobs([image.tolist()]))[0].content) for image in IMAGES[:3]]
    found = classifier(jobs([IMAGES[0].tolist()], [[1, 2]], IMAGES[1:3].tolist(), "none"))
    assert [answer.status for answer in found] == [200, 422, 200, 422]
    assert json.loads(found[0].content) == alone[0]
    assert json.loads(found[2].content)["predictions"] == [each["predictions"][0] for each in alone[1:]]
