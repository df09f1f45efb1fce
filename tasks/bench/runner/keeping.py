"""What is kept of a model's answers, in the process that they are given in: a text's scores are too large to send.

A metric says what it keeps by a function of outputs `[n, ...]` and targets, of which it is given so many examples at a
time as are about `BLOCK` bytes. Without a function all is kept. It comes in a file, which needs nothing but numpy.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .arrays import Arrays, Example, Model

BLOCK = 1 << 24  # bytes of inputs and outputs
Part = tuple[slice, Arrays]  # which examples, and their outputs by name
REFERENCE = "(reference)"  # among the targets, as in tasks/examples/dataset.py


def answered(model: Model, columns: Arrays, invoke_first: Any) -> Iterator[Part]:
    """What a model answers to all examples, some at a time; `invoke_first` has it infer for the first time."""
    start, count, n = 0, 1, len(next(iter(columns.values())))
    invoke = invoke_first
    while start < n:
        part = slice(start, min(start + count, n))
        examples, rows = ask(model, columns, part, invoke)
        invoke = model.invoke
        yield part, model.floats(rows)
        start, count = part.stop, max(1, BLOCK // _bytes(examples[0], rows[0]))


def ask(model: Model, columns: Arrays, part: slice, first: Any) -> tuple[list[Example], list[list[Any]]]:
    """Some examples as a model takes them, and its outputs for each; `first` has it infer on the first of them."""
    examples = model.prepare({name: column[part] for name, column in columns.items()})
    rows: list[list[Any]] = []
    for example in examples:
        model.put(example)
        (model.invoke if rows else first)()
        rows.append(model.read())
    return examples, rows


def _bytes(example: Example, outputs: list[Any]) -> int:
    return int(sum(array.nbytes for array in [*(array for _, array in example), *outputs])) or 1


def keep(
    parts: Iterator[Part],
    output: str,
    function: Any,
    targets: Arrays,
    beside: Callable[[slice], Any] | None = None,
) -> tuple[dict[str, Any], Any]:
    """What `function` keeps of an output's values, or all of them.

    Args:
        parts: see `answered`.
        output: its name; the only one of a model may have any.
        function: of values float32 `[n, ...]` and targets `[n, ...]` by name: what is kept, `[n, ...]`. Its ValueError
            says that the model's answers are not such as it judges. None: all is kept.
        targets: of all examples, by name.
        beside: what the reference answers to some of them, [n, ...], which is a target too; it is asked part by part,
            so that no more of its answers is held than of the model's own.

    Returns:
        `n`; `sha256` of the output's float32 values; `bad`, how many examples have values that are no finite numbers,
        and the first of them; `refused`, what the function says. And what is kept, which means nothing if any is bad.

    Raises:
        ValueError: the output is not there.
    """
    whole, kept, bad, n, refused = hashlib.sha256(), [], [], 0, None
    for part, outputs in parts:
        values = judged(outputs, output)
        whole.update(np.ascontiguousarray(values, np.float32).tobytes())
        bad += [part.start + int(i) for i in np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))]
        n = part.stop
        if bad or refused:  # the rest is only counted: what is no number has no order, and is of no class
            continue
        try:
            of_these = {name: target[part] for name, target in targets.items()}
            of_these |= {REFERENCE: beside(part)} if beside else {}
            kept.append(function(values, of_these) if function else values)
        except ValueError as error:
            refused = str(error)
    found = {"n": n, "sha256": whole.hexdigest(), "bad": len(bad), "first_bad": bad[0] if bad else None}
    return {**found, "refused": refused}, np.concatenate(kept) if kept else np.zeros(0, np.float32)


def judged(outputs: Arrays, output: str) -> Any:
    """The values of the output that is judged.

    Raises:
        ValueError: it is not there.
    """
    if output not in outputs and len(outputs) != 1:
        raise ValueError(f"the runtime gives {', '.join(outputs)}; {output} is judged, and not there")
    return outputs[output] if output in outputs else next(iter(outputs.values()))
