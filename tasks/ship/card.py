"""A bundle's model card in Markdown: what its manifest says, for people. Nothing stands in it that no record says."""

from collections.abc import Iterable, Iterator
from typing import Any

from tasks.records.artifacts import Tensor
from tasks.ship.manifest import Found, Manifest

FILE = "MODEL_CARD.md"
UNKNOWN = "not told"
ENDS = {"interval": "95 % interval", "range": "range of few windows, which claims nothing", "bounds": "bounds"}


def text(name: str, manifest: Manifest) -> str:
    """The card of a bundle that holds a program.

    Args:
        name: of the project.
        manifest: what the bundle says of itself.
    """
    parts = (
        [f"# {name}: {manifest.variant} for {manifest.device}", f"{manifest.reason}."],
        _doubts(manifest),
        ["## What it is", _table(("", ""), _about(manifest))],
        ["## What it is worth, and what it costs", *_figures(manifest)],
        ["## What it had to keep to", _table(("limit", "most", "kept"), _limits(manifest))],
        _firmware(manifest),
        ["## Data", *_data(manifest)],
        ["## Examples", *_examples(manifest)],
        ["## Licences", _table(("of", "licence"), _licences(manifest))],
        ["## What no record says", "What it is meant for; how its data were collected, and of whom they are."],
    )
    return "\n\n".join(line for part in parts for line in part) + "\n"


def _doubts(manifest: Manifest) -> list[str]:
    if not manifest.doubts:
        return []
    return ["What the figures do not show of this choice:", "\n".join(f"- {doubt}" for doubt in manifest.doubts)]


def _about(manifest: Manifest) -> Iterator[tuple[str, str]]:
    program, made = manifest.program, manifest.made
    assert program is not None
    assert made is not None
    yield "file", f"`{program.file}`, {program.bytes} bytes, SHA-256 {program.sha256}"
    yield "figures found by", program.found_by
    yield "model", f"{made.model}, {made.total_epochs} epochs in all"
    yield "numbers", f"{made.scheme}, made by {made.converter}"
    yield from ((f"input `{each.name}`", _tensor(each)) for each in made.inputs)
    yield from ((f"output `{each.name}`", _tensor(each)) for each in made.outputs)
    yield from ((name, version) for name, version in sorted(manifest.versions.items()))
    yield "code and libraries", f"SHA-256 {manifest.code_sha256}" if manifest.code_sha256 else UNKNOWN


def _tensor(tensor: Tensor) -> str:
    shape = f"{tensor.dtype} {list(tensor.shape)}"
    if tensor.scale is None:
        return shape
    shift = tensor.zero_point or 0
    return f"{shape}, real = {_number(tensor.scale)} × (integer {'+' if shift < 0 else '−'} {abs(shift)})"


def _figures(manifest: Manifest) -> Iterator[str]:
    quality, figures = manifest.quality, manifest.figures
    assert quality is not None
    assert figures is not None
    head = ("figure", "value", "unit", "from", "to", "which is", "provenance", "source", "examples", "note")
    yield _table(head, ((name, *_figure(found)) for name, found in figures.items()))
    told = f"Quality is {quality.metric}; {quality.better} is better. On the validation data it was chosen by: "
    yield f"{told}{_number(quality.validation)}."
    if manifest.stand_in:
        yield f"Quality was not found on the device: {manifest.stand_in} stood in for it."


def _figure(found: Found) -> tuple[str, ...]:
    ends = [_number(end) for end in (found.low, found.high)]
    which = ENDS[found.bounds] if found.low is not None else ""
    n = "" if found.n is None else str(found.n)
    return (_number(found.value), found.unit, *ends, which, found.provenance, found.source, n, found.note)


def _limits(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    given: dict[str, float] = manifest.budget.limits
    if (most := manifest.budget.max_quality_drop) is not None:
        given = {"quality_drop": most, **given}
    for name, limit in given.items():
        beyond = manifest.distances.get(name, 0.0)
        yield name, _number(limit), f"beyond it by {_number(beyond)} of it" if beyond else "yes"
    yield "of those that keep to it", f"the least {manifest.budget.minimize}", "yes" if manifest.within_budget else "no"


def _firmware(manifest: Manifest) -> list[str]:
    told = manifest.firmware
    if told is None:
        return []
    rows = [
        ("array of C", f"{told.array_bytes} bytes, aligned to {told.alignment}"),
        ("operators", ", ".join(told.operators)),
    ]
    if told.look_up_tables:
        rows.append(("weights", f"in look-up tables, instead of a file of {told.look_up_tables['instead_of']} bytes"))
    if told.arena_bytes:
        rows.append(("arena", f"{told.arena_bytes['total']} bytes: {told.arena}"))
    for memory, share in (("RAM", told.ram), ("flash", told.flash)):
        if share:
            beside = f"{_number(share['beside_kib'])} KiB of its {_number(share['kib'])} KiB set aside for the rest"
            rows.append((memory, f"{_number(share['share'])} of the board's in use, with {beside}"))
    return ["## Firmware", _table(("", ""), rows)]


def _data(manifest: Manifest) -> Iterator[str]:
    data = manifest.data
    assert data is not None
    counts = ", ".join(f"{count} {split}" for split, count in data.counts.items())
    yield f"Source `{data.source}`, of kind {data.kind}: {counts}. The SHA-256 of its record is {data.sha256}."
    if data.origin:
        yield _table(("file read", "SHA-256"), data.origin.items())


def _examples(manifest: Manifest) -> Iterator[str]:
    told = manifest.examples
    assert told is not None
    yield (
        f"`{told.file}` holds {told.n} of the {told.split} split; `{told.outputs}` what {told.found_by} answered to"
        f" them. `python classify.py --check` answers them and compares: {_number(told.bound)} of the outputs' spread"
        " is allowed."
    )


def _licences(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield from ((name, licence or UNKNOWN) for name, licence in manifest.licences.items())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
