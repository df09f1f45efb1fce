"""What a worker does with requests: examples out of bodies, through the model, and labels with probabilities back."""

import time
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import orjson

from tasks.serve import inputs
from tasks.serve.batches import SIZE, alone_s, joined, widened
from tasks.serve.bundle import Bundle
from tasks.serve.counts import Counts
from tasks.serve.pool import Answer, Job
from tasks.ship import classify

JSON, TEXT = "application/json", "text/plain"
IMAGES = ("image/jpeg", "image/png", "application/octet-stream")


def refusal(status: int, said: str, retry_s: int | None = None) -> Answer:
    """An error in one line."""
    return Answer(status, orjson.dumps({"error": " ".join(said.split())}), retry_s)


class Classifier:
    """A model of its own, and what it answers."""

    def __init__(self, bundle: Bundle, threads: int, counts: Counts) -> None:
        self._bundle, self._counts, self._inputs = bundle, counts, bundle.inputs
        self._model = bundle.model(threads)
        self.alone_s, self.wide = alone_s(self._model), widened(bundle, self._model, threads)
        self._preprocess = bundle.module("preprocess")
        self._match = bundle.module("runner.arrays").match
        self._names = list(self._model.inputs)
        self._judged = bundle.program["output"], bundle.program["serves"]

    def __call__(self, jobs: list[Job]) -> Sequence[Answer]:
        """The answer to each job: 200 with `predictions`, or 422 with what is wrong with it."""
        now, answers = time.perf_counter(), dict[Job, Answer]()
        self._counts.batches[len(jobs)] += 1
        read: dict[Job, tuple[Any, list[Any]]] = {}  # the first input of each example, and the examples
        for job in jobs:
            self._counts.step("queue", now - job.arrived)
            began = time.perf_counter()
            try:
                read[job] = self._examples(job)
            except ValueError as error:
                answers[job] = refusal(422, str(error))
            self._counts.step("decode", time.perf_counter() - began)
        began = time.perf_counter()
        outputs = self._infer([example for _, examples in read.values() for example in examples])
        each_s, done = (time.perf_counter() - began) / (len(outputs) or 1), 0
        for job, (firsts, examples) in read.items():
            began, n = time.perf_counter(), len(examples)
            self._counts.step("invoke", each_s * n)
            answers[job] = self._answer(firsts, outputs[done : done + n], each_s)
            done += n
            self._counts.step("encode", time.perf_counter() - began)
        return [answers[job] for job in jobs]

    def _examples(self, job: Job) -> tuple[Any, list[Any]]:
        raw = self._raw(job)
        ready = {name: self._preprocess.apply(spec, raw[name]) for name, spec in self._inputs.items()}
        return next(iter(ready.values())), self._model.prepare(self._match(ready, self._names))

    def _raw(self, job: Job) -> dict[str, Any]:
        """The raw arrays of a body, by the names of the model's inputs."""
        if job.kind == JSON:
            return inputs.arrays(inputs.instances(orjson.loads(job.body)), self._inputs, self._preprocess)
        name, spec = next(iter(self._inputs.items()))
        if job.kind == TEXT:
            return inputs.arrays([job.body.decode("utf-8")], self._inputs, self._preprocess)
        if spec["kind"] != "image" or len(self._inputs) > 1:
            raise ValueError(f"{JSON} expected: this model reads {', '.join(self._inputs)}; received {job.kind}")
        return {name: self._bundle.module("images").decode(job.body, tuple(spec["shape"]))[None]}

    def _infer(self, examples: list[Any]) -> list[Any]:
        """The real-valued output of each example."""
        found: list[Any] = []
        model, wide = self._model, self.wide
        while wide and len(examples) - len(found) >= wide.worth:
            some = examples[len(found) : len(found) + SIZE]
            found += list(self._run(wide.model, joined(some))[: len(some)])
        for example in examples[len(found) :]:
            found.append(self._run(model, example)[0])
        return found

    def _run(self, model: Any, example: Any) -> Any:
        model.put(example)
        model.invoke()
        return classify.judged(model.floats([model.read()]), *self._judged)

    def _answer(self, firsts: Any, outputs: list[Any], invoke_s: float) -> Answer:
        if not all(np.isfinite(output).all() for output in outputs):
            return refusal(422, "the model's answer to it is no number: values of another size are expected")
        said = [answer(self._bundle.target, first, output) for first, output in zip(firsts, outputs, strict=True)]
        for each in said:
            self._counts.answered(each.get("label"), each.get("score"), invoke_s)
        return Answer(200, orjson.dumps({"predictions": said}))


def answer(target: dict[str, Any], example: Any, output: Any) -> dict[str, Any]:
    """What is sent of one model-ready example and the model's output: as the bundle's script, and each probability."""
    said = classify.answer(target, example, output)
    if "score" in said and target["kind"] != "tokens" and prod(output.shape) == len(target["classes"]):
        said["probabilities"] = dict(zip(target["classes"], output.tolist(), strict=True))
    return said
