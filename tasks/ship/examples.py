"""Raw examples in a bundle, and what is expected of them: by these a device shows that it answers as the program did.

Examples and their labels are of the validation split, in a file that the bundle's script reads like any other. The
outputs are those of the file that the bundle serves, by the module that serves it.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from tasks.bench import predict, same_answers
from tasks.bench.device import Device
from tasks.bench.kinds import KINDS
from tasks.bench.request import Made
from tasks.bench.setup import Shipped, accepted
from tasks.bench.transport import Local
from tasks.errors import DeviceError, UnsupportedError
from tasks.examples import Array, Arrays, dataset, preprocess, tables
from tasks.examples.dataset import LABEL
from tasks.formats.schemes import SCHEMES
from tasks.scratch import scratch
from tasks.ship import classify
from tasks.ship.manifest import Examples

COUNT = 8
SPLIT = "validation"
ARRAYS, TABLE, OUTPUTS = "examples.npz", "examples.csv", "examples.outputs.npz"
TIMEOUT_S = 600.0  # of eight inferences


def write(folder: Path, artifact: Made, device: Device, shipped: Shipped) -> Examples:
    """Write the first examples of the validation split, and what is expected of them.

    Args:
        folder: the bundle, which holds the program and preprocess.json already.
        artifact: the champion's.
        device: that it is shipped to.
        shipped: the program.

    Returns:
        What the manifest says of them.

    Raises:
        DataError: there is no such split, or no longer what was prepared.
        DeviceError: the program crashes on them.
    """
    raw = dataset.load_raw(SPLIT)
    few = raw.take(np.arange(min(COUNT, len(raw)))).arrays()
    described = preprocess.read(folder / "preprocess.json")
    inputs, target = described["inputs"], described["targets"][LABEL]
    path = _table(folder, few, inputs) if any("columns" in each for each in inputs.values()) else _arrays(folder, few)
    given = classify.read(str(path), inputs, preprocess)
    ready = Arrays({name: preprocess.apply(entry, given[name]) for name, entry in inputs.items()}, {})
    found, found_by = _answers(folder, artifact, device, shipped, ready)
    outputs = classify.judged(found, shipped.output, shipped.serves)
    expected = classify.judgement(target, outputs)
    np.savez(folder / OUTPUTS, allow_pickle=False, **{classify.EXPECTED: expected})
    first = next(iter(ready.inputs.values()))
    return Examples(
        file=path.name,
        outputs=OUTPUTS,
        split=SPLIT,
        n=len(few),
        found_by=found_by,
        bound=SCHEMES.load(artifact.card.scheme).apart if shipped.bound is None else shipped.bound,
        step=same_answers.step(artifact.card, expected),
        labels=tuple(_label(target, label) for label in few.targets[LABEL]),
        answers=tuple(classify.answer(target, *pair) for pair in zip(first, outputs, strict=True)),
    )


def _arrays(folder: Path, raw: Arrays) -> Path:
    """Raw inputs as they are; texts as numpy's own."""
    path = folder / ARRAYS
    np.savez(path, allow_pickle=False, **{name: _plain(array) for name, array in raw.inputs.items()})
    return path


def _plain(array: Array) -> Array:
    return array.astype(str) if array.dtype == object else array


def _table(folder: Path, raw: Arrays, inputs: dict[str, Any]) -> Path:
    """Raw inputs as the columns of a table; the first column, without a name, numbers the rows: none is then blank."""
    path = folder / TABLE
    columns = {
        column: [_cell(value) for value in raw.inputs[name][:, place]]
        for name, entry in inputs.items()
        for place, column in enumerate(entry["columns"])
    }
    with path.open("w", encoding="utf-8", newline="") as file:
        # what the names have most of, for a reader takes what the header has most of
        writer = csv.writer(file, delimiter=max(tables.DELIMITERS, key="".join(columns).count))
        writer.writerow(["", *columns])
        writer.writerows([number, *row] for number, row in enumerate(zip(*columns.values(), strict=True)))
    return path


def _cell(value: Any) -> str:
    """A number so that it is read again as it is, or empty where it is missing; a category as it is."""
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else repr(float(value))


def _answers(
    folder: Path, artifact: Made, device: Device, shipped: Shipped, ready: Arrays
) -> tuple[dict[str, Array], str]:
    """Every output of the program that is served, float32 [n, ...] by name, and by what.

    Where the device is another machine, whose runtime cannot run here, LiteRT stands in: what its figures are of was
    compared with LiteRT's answers, within the same bound, before it was timed.
    """
    try:
        return _by_program(folder / shipped.serves, shipped, ready)
    except (DeviceError, UnsupportedError):
        if KINDS.load(device.kind).board is None:
            raise
    return predict.predict(artifact.path, ready, calls=artifact.card.signatures, asked=artifact.card.asked)


def _by_program(served: Path, shipped: Shipped, ready: Arrays) -> tuple[dict[str, Array], str]:
    with scratch("examples") as temporary:
        inputs, outputs = Path(temporary, "inputs.npz"), Path(temporary, "outputs.npz")
        np.savez(inputs, allow_pickle=False, **ready.inputs)
        request = {"action": "predict", "runtime": shipped.module, "options": shipped.options}
        files = {"model": served, "inputs": inputs} | ({"code": shipped.code} if shipped.code else {})
        answer = Local().run(request, files, {"outputs": outputs}, timeout_s=TIMEOUT_S)
        accepted(shipped.serves, answer)
        with np.load(outputs, allow_pickle=False) as arrays:
            return dict(arrays), str(answer.environment["runtime"])


def _label(target: dict[str, Any], label: Any) -> Any:
    """What the data say of an example, in the words in which it is answered."""
    if target["kind"] == "labels":
        return [name for name, there in zip(target["classes"], label.tolist(), strict=True) if there]
    if target["kind"] == "value":
        return label.tolist()
    number = int(label[-1] if label.ndim else label)  # of a text every token is told, and the next one is answered
    return target["classes"][number]
