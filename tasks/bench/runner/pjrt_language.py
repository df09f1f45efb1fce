"""Language models through PJRT: programs of StableHLO that take their weights and caches as arguments.

The artifact is a zip, nothing in it compressed: `lm.json`, which says what each program takes and gives by name,
`weights.safetensors`, and the programs. Weights are put on the device once and serve all programs. What a program gives
under the name of an argument takes that argument's place, and the array that was there is gone: so the caches stay
where they are. Tokens are chosen on the device; a step of `decode` brings one number back.

Caches are never emptied: what stands behind a token is not seen, and is written over by what follows. They are as long
as a text may be, and programs `room_256_decode` and so on read their first places alone: each call is made by the one
that reads the fewest.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from .arrays import Arrays, Example, RefusedError, place_of
from .packed import MANIFEST, WEIGHTS, named
from .pjrt import Reached, read, run
from .prompts import DECODE, checked, roomy

PACKAGE = "jaxlib"
MODULE = "jaxlib.xla_client"
REFUSALS: tuple[type[Exception], ...] = ()  # it compiles a program beforehand, and refuses it then or never
STATE = "kv_"  # how the names of caches begin
Part = tuple[str, int, int]  # of a prompt: the program, and which tokens it takes, from and to


class Model:
    """An artifact in the runtime; `arrays` documents the interface. Its inference is a prompt, up to its first scores.

    `options`: `platform` and `threads`, as of `pjrt`; `asked`: null, or the program that takes a prompt whole and tells
    the scores at each of its places, which are then the answer.
    """

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        self._reached, self._asked = Reached(options["platform"], options["threads"]), options.get("asked")
        with ZipFile(path) as archive:
            self.about = json.loads(archive.read(MANIFEST))
            self._contents = {name: archive.read(each["file"]) for name, each in self.about["programs"].items()}
        self.room, self._known = self.about["room"], self.about["vocabulary"]
        self.held = {name: self._reached.put(value) for name, value in weights(path, self.about)}
        self.state_bytes = 0  # of its caches
        self._programs: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {"tokens": None}
        self._parts: list[Part] = []
        self._given: list[dict[str, Any]] = []
        self._found: dict[str, Any] = {}
        self.decoded: list[int] = []  # the text after a prompt, where one was made
        self.decoded_by: dict[str, int] = {}  # how many tokens of it each program took in

    def program(self, name: str) -> Any:
        """A program, compiled when it is first asked for, with the caches that it takes."""
        if name not in self._programs:
            for argument, shape, dtype in self.about["programs"][name]["arguments"]:
                if argument.startswith(STATE) and argument not in self.held:
                    zeros = np.zeros(shape, named(dtype))
                    self.held[argument] = self._reached.put(zeros)
                    self.state_bytes += zeros.nbytes
            self._programs[name] = self._reached.compiled(self._contents[name])
        return self._programs[name]

    def call(self, name: str, **given: Any) -> dict[str, Any]:
        """Start a program on what is held and what is given; what it gives by name, of which the state is held."""
        program, about = self.program(name), self.about["programs"][name]
        arguments = [given.get(argument, self.held.get(argument)) for argument, *_ in about["arguments"]]
        found = dict(zip((result for result, *_ in about["results"]), run(program, arguments), strict=True))
        self.held |= {result: found[result] for result in found if result in self.held}
        return found

    def at(self, name: str, places: int) -> str:
        """What a program is named that reads so many places of the caches, and the fewest beyond."""
        return roomy(self.about["programs"], name, places)

    def place(self, **values: Any) -> dict[str, Any]:
        """Integers on the device."""
        return {name: self._reached.put(np.asarray(value, np.int32)) for name, value in values.items()}

    def prepare(self, columns: Arrays) -> list[Example]:
        """Every prompt, and the calls that take prompts of this length.

        Raises:
            RefusedError: the prompts are empty, longer than the room, no whole window where every place is asked, or of
                tokens that the model does not know.
        """
        (tokens,) = columns.values()
        n = checked(tokens, self.room, self._known, _length(self._asked) if self._asked else None)
        lengths = {name: _length(name) for name in self.about["programs"] if name.startswith("prefill_")}
        taken = [(self._asked, 0, n)] if self._asked else parts(lengths, n, self.room)
        self._parts = [(self.at(name, first + _length(name)), first, end) for name, first, end in taken]
        for name, *_ in self._parts:
            self.program(name)
        return [[("tokens", row)] for row in tokens]

    def put(self, example: Example) -> None:
        """Put a prompt in place."""
        ((_, tokens),) = example
        self._given = []
        for name, first, end in self._parts:
            about = {argument: shape for argument, shape, _ in self.about["programs"][name]["arguments"]}
            filled = np.zeros(about["tokens"], np.int32)
            filled[:, : end - first] = tokens[first:end]
            others = {"last": end - first - 1, "targets": np.zeros_like(filled), "start": first}
            values = {argument: value for argument, value in others.items() if argument in about}
            self._given.append(self.place(tokens=filled, **values))

    def invoke(self) -> None:
        """Take the prompt in."""
        for (name, *_), given in zip(self._parts, self._given, strict=True):
            self._found = self.call(name, **given)

    def read(self) -> list[Any]:
        """The scores of the next token, or at each place, in this machine's memory; the state stays where it is."""
        return [read(self._found["logits"])]

    def decoding(self, prompt: Example, new_tokens: int) -> "Decoding":
        """What so many tokens after a prompt are measured by."""
        return Decoding(self, prompt, new_tokens)

    def floats(self, rows: list[list[Any]]) -> Arrays:
        """What `read` gave for each of n prompts: float32 `[n, vocabulary]`, or of each place too."""
        return {"logits": np.concatenate([row[0] for row in rows]).astype(np.float32)}

    def facts(self) -> dict[str, Any]:
        """How the state is kept, by which calls a prompt is taken in, and what the device says of itself."""
        states = {name: program.get_compiled_memory_stats() for name, program in self._programs.items()}
        donated = {name: self.about["programs"][name]["donated"] for name in states}
        kept = all(states[name].alias_size_in_bytes > 0 for name in states if donated[name])
        taken = [f"{name} ({end - first} of {_length(name)})" for name, first, end in self._parts]
        by = [f"{name} ({count})" for name, count in self.decoded_by.items()]
        state = {"state_kept": "in place" if kept else "copied", "state_bytes": self.state_bytes}
        said = {"prompt_calls": taken, "decode_calls": by, "decoded": self.decoded, "chosen": "by the device"}
        return {**state, **said, **self._reached.facts()}

    def operators(self) -> list[dict[str, Any]]:
        """Nothing: the runtime does not tell what of a compiled program took how long."""
        return []


class Decoding:
    """One token after the other, after a prompt: always the same text, round by round, as the device chooses it."""

    def __init__(self, model: Model, prompt: Example, new_tokens: int) -> None:
        ((_, tokens),) = prompt
        self._model, self._first = model, len(tokens)
        if self._first + new_tokens > model.room:
            raise RefusedError(
                f"its state has room for {model.room} tokens; a prompt of {self._first} and {new_tokens} new ones are "
                "more"
            )
        model.put(prompt)
        model.invoke()
        model.decoded = [int(np.argmax(model.read()[0]))]
        by = [model.at(DECODE, self._first + place + 1) for place in range(new_tokens)]
        model.decoded_by = dict(Counter(by))
        self.examples: list[Any] = [[(place, name)] for place, name in enumerate(by)]
        for example in self.examples:
            self.put(example)
            self.invoke()
            model.decoded.append(int(self.read()[0][0]))
        del model.decoded[-1]

    def put(self, example: Example) -> None:
        """Before the first token the text is the prompt; what stands behind it is not seen, and written over."""
        ((place, self._next),) = example
        if place == 0:
            self._model.held |= self._model.place(token=[self._model.decoded[0]], position=self._first)

    def invoke(self) -> None:
        """Take one token in, and choose the next."""
        self._found = self._model.call(self._next)

    def read(self) -> list[Any]:
        """The token that comes next."""
        return [read(self._found["token"])]


def _length(name: str) -> int:
    """How many tokens a program takes that is named by it: `prefill_16`."""
    return int(name.rpartition("_")[2])


def parts(lengths: dict[str, int], n: int, room: int) -> list[Part]:
    """How prefills take a prompt of n tokens, call by call.

    As often as it goes into the prompt the longest, then the next; what is left is taken by the shortest that covers
    it, with some tokens before it once more where it would reach beyond the room.
    """
    found: list[Part] = []
    place = 0
    for name, length in sorted(lengths.items(), key=lambda each: -each[1]):
        while n - place >= length:
            found.append((name, place, place + length))
            place += length
    if place < n:
        name, length = min(lengths.items(), key=lambda each: each[1])
        found.append((name, min(place, room - length), n))
    return found


def weights(path: str, about: dict[str, Any]) -> Any:
    """Each weight by its name, mapped from the file; integers of 4 bits lie there two in a byte, the lower first."""
    with ZipFile(path) as archive, Path(path).open("rb") as file:
        start = place_of(file, archive.getinfo(WEIGHTS))
    size = int(np.fromfile(path, "<u8", 1, offset=start)[0])
    header = json.loads(np.fromfile(path, np.uint8, size, offset=start + 8).tobytes())
    for name, shape, dtype in about["weights"]:
        first, end = header[name]["data_offsets"]
        raw: Any = np.memmap(path, np.uint8, "r", start + 8 + size + first, (end - first,))
        if dtype == "int4":
            nibbles = np.stack([raw & 15, raw >> 4], 1).reshape(-1)[: int(np.prod(shape))]
            raw = ((nibbles ^ 8).astype(np.int8) - 8).astype(named(dtype)).view(np.uint8)
        yield name, np.asarray(raw).view(named(dtype)).reshape(shape)
