"""What the runner answers, parsed once where it comes in: from here on nobody looks into JSON.

It needs the standard library alone, as the runner's callers on a bare machine do.
"""

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tasks.bench.runner import SCHEMA

Facts = Mapping[str, Any]  # what only this runtime, or this machine, can say


@dataclass(frozen=True)
class Reading:
    """The running totals of an energy counter's zones at one moment."""

    uj: tuple[int, ...]
    ns: int  # by a clock that only rises
    epoch_ns: int


Span = tuple[Reading, Reading]  # start and end


@dataclass(frozen=True)
class Zone:
    """One part of a device that an energy counter tells apart."""

    zone: str
    name: str
    range_uj: int | None  # where its total wraps; null where it does not


@dataclass(frozen=True)
class Counter:
    """What an energy counter showed around a window and in it."""

    source: str | None
    zones: tuple[Zone, ...]  # none: nothing can be read
    reason: str | None  # why not
    update_s: float | None  # between two of its steps; null where it did not move
    idle: tuple[Span | None, Span | None]  # before the window and after it
    window: Span
    power_w: float | None = None  # by another sensor, meanwhile
    changes: int | None = None  # of a sensor that is looked at: 0 where it hangs


@dataclass(frozen=True)
class Window:
    """One phase's runs, back to back for a while; the nanoseconds of each come as an array beside the answer."""

    unit: str  # what is counted: "inference"
    volume: int  # so many of them in each run
    period: int  # runs that make a round: each round does the same work, and no other two runs need to
    runs: int
    seconds: float
    busy_s: float  # of these, the clocked part
    cpu_s: float  # of all threads
    busy_cpu_s: float
    empty_ns: float  # that the clock counts of a turn in which nothing runs
    preempted: int | None
    state: tuple[Facts, Facts]  # clock and heat before and after
    energy: Counter

    @property
    def run(self) -> str:
        """What each run does, in words: "inference", "5 tokens"."""
        return self.unit if self.volume == 1 else f"{self.volume} {self.unit}s"


@dataclass(frozen=True)
class Memory:
    """The most memory that was resident: before a model was loaded, and after its first inference."""

    before_kib: int | None
    peak_kib: int | None


@dataclass(frozen=True)
class Timing:
    """What `time` tells of one process."""

    load_ms: float
    first_ms: float
    memory: Memory
    phases: Mapping[str, Window]  # in their order, by name


@dataclass(frozen=True)
class Operator:
    """What ran an operator of the model."""

    name: str
    kind: str
    ran_on: str | None
    ms: float | None


@dataclass(frozen=True)
class Kept:
    """Of one output what the runner tells beside the array that it keeps of it."""

    n: int  # examples
    sha256: str  # of all its values as float32
    bad: int  # examples with values that are no finite numbers
    first_bad: int | None
    refused: str | None  # why the answers cannot be judged


@dataclass(frozen=True)
class Answer:
    """The runner's answer; the last fields are those of one action each."""

    status: Literal["ok", "unsupported", "error"]
    reason: str | None
    environment: Facts
    facts: Facts = field(default_factory=dict)
    outputs: tuple[str, ...] = ()  # `predict`: the names of the arrays that it wrote
    kept: Kept | None = None  # likewise, where it was to keep something of one output
    timing: Timing | None = None  # `time`
    operators: tuple[Operator, ...] = ()  # `profile`
    runs: int | None = None  # `count`
    marks: str | None = None  # likewise, by the emulator that counted
    read_gb_s: float | None = None  # `bandwidth`
    schema: int = SCHEMA


def parse(given: Any) -> Answer:
    """An answer from its JSON.

    Raises:
        ValueError: it is another schema's, lacks something, or has what nobody knows; the message says where.
    """
    if isinstance(given, dict) and given.get("schema") != SCHEMA:
        raise ValueError(f"it is in schema {given.get('schema')!r}, and {SCHEMA} is understood: not ours?")
    answer: Answer = _made(Answer, given, "answer")
    return answer


def _made(kind: Any, value: Any, where: str) -> Any:
    """A value as the type that an annotation names."""
    if is_dataclass(kind):
        return _record(kind, value, where)
    origin, words = get_origin(kind), get_args(kind)
    if kind is Any or (origin is Literal and value in words):
        return value
    if origin is types.UnionType:
        return None if value is None else _made(words[0], value, where)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = words[:1] * len(value) if words[-1] is ... else words
        if len(kinds) == len(value):
            return tuple(_made(kinds[i], each, f"{where}[{i}]") for i, each in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {name: _made(words[1], each, f"{where}.{name}") for name, each in value.items()}
    plain = {float: int | float, int: int, str: str}.get(kind)
    if plain and isinstance(value, plain) and not isinstance(value, bool):
        return value
    expected = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
    raise ValueError(f"{where}: received {value!r:.60}; {expected.replace(f'{__name__}.', '')} is expected")


def _record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: received {value!r:.60}; {kind.__name__} is expected")  # noqa: TRY004 - data, no bug
    hints, known = _hints(kind), {each.name: each for each in fields(kind)}
    if strangers := value.keys() - known.keys():
        raise ValueError(f"{where}: nobody knows {', '.join(map(repr, sorted(strangers)))}")
    for name, each in known.items():
        if name not in value and each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"{where}: {name!r} is missing")
    return kind(**{name: _made(hints[name], each, f"{where}.{name}") for name, each in value.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
