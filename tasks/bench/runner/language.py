"""Language models in LiteRT: `.tflite` files that are called as LiteRT-LM calls them, and keep a state between calls.

Signatures `prefill…` take a part of a prompt, `decode` takes one token. Their inputs are `tokens` `[1, n]`, `input_pos`
`[n]`, where these stand in the text, and the state: what the call before gave under the same name. Where prefill gives
no scores of the next token, the last token of a prompt goes through decode. What is left of a prompt is filled up to a
prefill's length where each token has a place of its own in the state: what stands behind a token is not seen by it, and
is written over by what follows. The state never leaves the runtime: one set of buffers is the input and the output of a
call where the file writes it in place, else two take turns.

A call reads the whole state, so a file may have its signatures in smaller rooms too, `room_256_decode` and so on. Each
call is made in the smallest that has its places; what a smaller one holds is copied over once.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from .arrays import Arrays, Example, RefusedError, dequantize, one_line
from .prompts import DECODE, at, calls, checked, gives_scores, length

PACKAGE = "ai-edge-litert"
MODULE = "ai_edge_litert.compiled_model"
REFUSALS = (RuntimeError,)
XNNPACK_IN_MEMORY = ":memory"  # as xnnpack_delegate.h calls it
Buffers = dict[str, Any]  # of the runtime, by the names of tensors


class State:
    """What a call leaves to the next one, in one room."""

    def __init__(self, model: Any, about: dict[str, Any], *, in_place: bool) -> None:
        kept = [tensor for tensor in about["inputs"] if tensor["name"] in about["state"].values()]
        self._empty = {tensor["name"]: np.zeros(tensor["shape"], tensor["dtype"]) for tensor in kept}
        buffers = [
            {name: model.create_input_buffer_by_name(about["name"], name) for name in self._empty}
            for _ in range(1 if in_place else 2)
        ]
        self.turns: list[tuple[Buffers, Buffers]] = [(buffers[0], buffers[-1]), (buffers[-1], buffers[0])]  # in, out
        self.turn = 0
        self.bytes = len(buffers) * sum(zeros.nbytes for zeros in self._empty.values())

    def keep(self) -> dict[str, Any]:
        """A copy of it."""
        held = self.turns[self.turn][0]
        return {
            name: held[name].read(zeros.size, zeros.dtype).reshape(zeros.shape) for name, zeros in self._empty.items()
        }

    def restore(self, kept: dict[str, Any] | None = None) -> None:
        """Put a copy in place, or what both have of one of another room; without one, the state of an empty text."""
        for name, buffer in self.turns[self.turn][0].items():
            value = self._empty[name]
            if kept is not None and kept[name].shape != value.shape:
                value = value.copy()
                both = tuple(map(slice, np.minimum(value.shape, kept[name].shape)))
                value[both] = kept[name][both]
            elif kept is not None:
                value = kept[name]
            buffer.write(value)


class States:
    """The state of one text, in the room that it has reached; rooms are made when they are first entered."""

    def __init__(self, model: Any, *, in_place: bool) -> None:
        self._model, self._in_place = model, in_place
        self._made: dict[tuple[Any, ...], State] = {}
        self.now: State | None = None

    @property
    def bytes(self) -> int:
        """What all of it takes in memory."""
        return sum(state.bytes for state in self._made.values())

    def of(self, about: dict[str, Any]) -> State:
        """That of a signature; it shares it with all whose state has the same shape."""
        shapes = {tensor["name"]: tensor["shape"] for tensor in about["inputs"]}
        room = tuple(tuple(shapes[name]) for name in sorted(about["state"].values()))
        if room not in self._made:
            self._made[room] = State(self._model, about, in_place=self._in_place)
        return self._made[room]

    def begin(self, state: State, kept: dict[str, Any] | None = None) -> None:
        """Go on from a copy of a state, or with an empty text."""
        self.now = state
        state.restore(kept)

    def enter(self, state: State) -> None:
        """Go on in another room, with what this one holds."""
        if self.now is not state:
            self.begin(state, self.now.keep() if self.now else None)


class Call:
    """A signature at one place of a text, with buffers of its own for what it is given."""

    def __init__(self, model: Any, about: dict[str, Any], place: int, states: States, scores: Buffers) -> None:
        self._model, self.name, self.length = model, about["name"], length(about)
        self._states, self.state = states, states.of(about)
        kinds = {tensor["name"]: np.dtype(tensor["dtype"]) for tensor in about["inputs"]}
        given = {name: model.create_input_buffer_by_name(self.name, name) for name in kinds if name in GIVEN}
        if "input_pos" in given:
            given["input_pos"].write((place + np.arange(self.length)).astype(kinds["input_pos"]))
        self._tokens, self._dtype = given["tokens"], kinds["tokens"]
        outputs = scores if gives_scores(about) else {}
        self._turns = [
            ({**given, **taken}, {**outputs, **{name: left[into] for name, into in about["state"].items()}})
            for taken, left in self.state.turns
        ]

    def write(self, tokens: Any) -> None:
        """Set the tokens that it takes; zeros stand for those that are missing behind them."""
        filled = np.zeros((1, self.length), self._dtype)
        filled[0, : len(tokens)] = tokens
        self._tokens.write(filled)

    def run(self) -> None:
        """Make the call; the state is then what it gave."""
        self._states.enter(self.state)
        self._model.run_by_name(self.name, *self._turns[self.state.turn])
        self.state.turn = 1 - self.state.turn


GIVEN = ("tokens", "input_pos")


class Model:
    """An artifact in the runtime; `arrays` documents the interface. Its inference is a prompt, up to its first scores.

    `options`: `kernels` and `threads`, as of LiteRT; `signatures`, as the artifact's card has them; `asked`: null, or
    the signature that takes a prompt whole and tells the scores at each of its places, which are then the answer.
    """

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        self._about = {signature["name"]: signature for signature in options["signatures"] if signature["state"]}
        self._compiled, decode = _compiled(path, options), self._about[DECODE]
        self._in_place = all(signature["in_place"] for signature in self._about.values())
        self.states = States(self._compiled, in_place=self._in_place)
        self._told: dict[str, Buffers] = {}  # of signatures whose scores are read
        self._asked = options.get("asked") or DECODE
        told = self._about[self._asked]
        (self._scores,) = (tensor for tensor in told["outputs"] if tensor["name"] not in told["state"])
        self._buffer = self._compiled.create_output_buffer_by_name(self._asked, self._scores["name"])
        self.room: int | None = decode["places"]  # for tokens, in the state; null where it does not say
        self.inputs: dict[str, Any] = {"tokens": None}
        self._parts: list[tuple[Call, int]] = []  # and how many tokens of a prompt it takes
        self.vocabulary: int = self._scores["shape"][-1]
        self.also: Callable[[], dict[str, Any]] = dict  # what else is told of it
        self.decoded: list[int] = []  # the text after a prompt, where one was made
        self.decoded_by: dict[str, int] = {}  # how many tokens of it each signature took in

    def call(self, signature: str, place: int) -> Call:
        """A call at a place of the text, in the smallest room that has it."""
        return self._call(at(self._about, signature, place), place)

    def telling(self, signature: str, place: int) -> tuple[Call, Callable[[int], Any]]:
        """A call at a place of the text, and what reads the scores of the first n places that it told: [n, words]."""
        if signature not in self._about:
            told = ", ".join(self._about)
            raise RefusedError(f"no signature {signature}: see `quantize.<variant>.verify`; the file has {told}")
        about, name, kind = at(self._about, signature, place), self._scores["name"], np.dtype(self._scores["dtype"])
        if name not in self._told.setdefault(signature, {}):
            self._told[signature][name] = self._compiled.create_output_buffer_by_name(signature, name)
        buffer = self._told[signature]

        def read(n: int) -> Any:
            return buffer[name].read(n * self.vocabulary, kind).reshape(n, self.vocabulary)

        return Call(self._compiled, about, place, self.states, buffer), read

    def _call(self, about: dict[str, Any], place: int) -> Call:
        return Call(self._compiled, about, place, self.states, {self._scores["name"]: self._buffer})

    def prepare(self, columns: Arrays) -> list[Example]:
        """Every prompt, and the calls that take prompts of this length.

        Raises:
            RefusedError: the prompts are empty, longer than the room, no whole window where every place is asked, or of
                tokens that the model does not know.
        """
        (tokens,) = columns.values()
        whole = length(self._about[self._asked]) if self._asked != DECODE else None
        n = checked(tokens, self.room, self._scores["shape"][-1], whole)
        if n != sum(count for _, count in self._parts):
            found = [(self._about[self._asked], 0, n)] if whole else calls(self._about, n)
            self._parts = [(self._call(about, place), count) for about, place, count in found]
        return [[("tokens", row)] for row in tokens]

    def put(self, example: Example) -> None:
        """Put a prompt in place, with nothing before it."""
        ((_, tokens),) = example
        for part, count in self._parts:
            part.write(tokens[:count])
            tokens = tokens[count:]
        self.states.begin(self._parts[0][0].state)

    def invoke(self) -> None:
        """Take the prompt in."""
        for part, _ in self._parts:
            part.run()

    def read(self) -> list[Any]:
        """The scores of the next token, or at each place, in this machine's memory; the state stays where it is."""
        return [self._buffer.read(prod(self._scores["shape"]), np.dtype(self._scores["dtype"]))]

    def decoding(self, prompt: Example, new_tokens: int) -> "Decoding":
        """What so many tokens after a prompt are measured by."""
        return Decoding(self, prompt, new_tokens)

    def floats(self, rows: list[list[Any]]) -> Arrays:
        """What `read` gave for each of n prompts, by output name: float32 `[n, vocabulary]`, or of each place too."""
        about = self._scores
        scores = dequantize(np.stack([row[0] for row in rows]), about["scale"] or 0.0, about["zero_point"] or 0)
        if self._asked != DECODE:
            scores = scores.reshape(len(rows), *about["shape"][1:])
        return {about["name"]: scores}

    def facts(self) -> dict[str, Any]:
        """How the state is kept, and by which calls a prompt is taken in."""
        kept = "in place" if self._in_place else "in two sets of buffers, by turns"
        taken = [f"{part.name} ({count} of {part.length})" for part, count in self._parts]
        by = [f"{name} ({count})" for name, count in self.decoded_by.items()]
        facts = {"state_kept": kept, "state_bytes": self.states.bytes, "prompt_calls": taken, "decode_calls": by}
        return {**facts, "decoded": self.decoded, **self.also()}

    def operators(self) -> list[dict[str, Any]]:
        """Nothing: the runtime does not tell."""
        return []


class Decoding:
    """One token after the other, after a prompt: always the same text, round by round.

    The text is the model's own: each token the one with the highest score, chosen before any clock runs.
    """

    def __init__(self, model: Model, prompt: Example, new_tokens: int) -> None:
        ((_, tokens),) = prompt
        first = len(tokens)
        if model.room is not None and first + new_tokens > model.room:
            raise RefusedError(
                f"its state has room for {model.room} tokens; a prompt of {first} and {new_tokens} new ones are more"
            )
        model.put(prompt)
        model.invoke()
        self.read, self._states = model.read, model.states
        state = model.states.now
        assert state is not None  # the prompt has one
        self._start = (state, state.keep())
        self.tokens = model.decoded = []
        model.decoded_by = {}
        self.examples: list[Any] = []
        for place in range(first, first + new_tokens):
            self.tokens.append(int(np.argmax(model.read()[0])))
            call = model.call(DECODE, place)
            call.write(self.tokens[-1:])
            model.decoded_by[call.name] = model.decoded_by.get(call.name, 0) + 1
            self.examples.append([(place - first, call)])
            self.put(self.examples[-1])
            self.invoke()

    def put(self, example: Example) -> None:
        """Make a token the next; before the first of them the state is that after the prompt."""
        ((place, self._next),) = example
        if place == 0:
            self._states.begin(*self._start)

    def invoke(self) -> None:
        """Take one token in."""
        self._next.run()


def _compiled(path: str, options: dict[str, Any]) -> Any:
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import CpuKernelMode, CpuOptions, Options

    mode = {"default": None, "reference": CpuKernelMode.REFERENCE}[options["kernels"]]
    # signatures that read the same weights so pack them for the kernels once, in memory alone: else each has its own
    processor = CpuOptions(
        num_threads=options["threads"], kernel_mode=mode, xnnpack_weight_cache_path=XNNPACK_IN_MEMORY
    )
    settings = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=processor)
    try:
        return CompiledModel.from_file(path, options=settings)
    except RuntimeError as error:
        raise RefusedError(one_line(error)) from None
