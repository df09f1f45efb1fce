"""A language model that is served: from a text to the text behind it, token by token, each the likeliest."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from tasks.errors import DataError
from tasks.examples import vocabulary
from tasks.serve.bundle import Bundle
from tasks.ship import words

GENERATE = ("language", "pjrt_language")  # modules of the runner that write
DECODE, PREFILL = "decode", "prefill"
LONGEST = 4096  # tokens, where a file does not say its room
NEAR = 8  # tokens of a prompt that decide how the text behind it begins
HALF = "\ufffd"  # what a decoder has for bytes that are no whole character


class Writer(Protocol):
    """A model in its runtime, which writes."""

    room: int | None

    def tokens(self, prompt: list[int]) -> Iterator[int]:
        """The tokens behind a prompt, one by one, until the room is full."""
        ...


class Litert:
    """The runner's `language`: a file with `prefill…` and `decode`."""

    def __init__(self, model: Any) -> None:
        self._model, self.room = model, model.room

    def tokens(self, prompt: list[int]) -> Iterator[int]:
        """See `Writer`."""
        model, place = self._model, len(prompt)
        _take_in(model, prompt)
        while True:
            token = int(np.argmax(model.read()[0]))
            yield token
            call = model.call(DECODE, place)
            call.write([token])
            call.run()
            place += 1


class Pjrt:
    """The runner's `pjrt_language`: programs of StableHLO; the device chooses the token."""

    def __init__(self, model: Any, read: Any) -> None:
        self._model, self._read, self.room = model, read, model.room
        for name in model.about["programs"]:  # compiled now, and not while somebody waits
            if DECODE in name or PREFILL in name:
                model.program(name)

    def tokens(self, prompt: list[int]) -> Iterator[int]:
        """See `Writer`."""
        model, place = self._model, len(prompt)
        _take_in(model, prompt)
        token = int(np.argmax(model.read()[0]))
        model.held |= model.place(token=[token], position=place)
        while True:
            yield token
            place += 1
            token = int(self._read(model.call(model.at(DECODE, place))["token"])[0])


def _take_in(model: Any, prompt: list[int]) -> None:
    (example,) = model.prepare({"tokens": np.array([prompt], np.int32)})
    model.put(example)
    model.invoke()


def writer(bundle: Bundle, threads: int) -> Writer:
    """A bundle's language model, asked for the next token alone."""
    model = bundle.model(threads, asked=None)
    if bundle.program["module"] == "pjrt_language":
        return Pjrt(model, bundle.module("runner.pjrt").read)
    return Litert(model)


class Words:
    """How texts become the model's tokens and back."""

    def __init__(self, bundle: Bundle) -> None:
        """Read them.

        Raises:
            DataError: nobody says what text its tokens are.
        """
        (entry,) = bundle.inputs.values()
        about = bundle.folder / words.FILE
        told = json.loads(about.read_text(encoding="utf-8")) if about.exists() else {}
        self.tokenizer = vocabulary.maker(entry if "tokenizer" not in told else told)
        if self.tokenizer is None:
            raise DataError(f"{bundle.folder}: nobody says which text its tokens are; `classify.py` takes numbers")
        self.known = int(entry["vocabulary"])  # tokens, from 0 on
        self.ends: set[int] = set(told["ends"] if "ends" in told else _own_ends(entry))
        self.begins: int | None = told.get("begins")
        self.chat: str | None = told.get("chat")
        self.special: dict[str, str] = told.get("special", {})  # what the template of a chat writes by name
        self.longest = max(len(token.encode()) for token in self.tokenizer.get_vocab())  # bytes of a token

    def numbers(self, text: str) -> list[int]:
        """The tokens of a text."""
        # `encode` would keep Python's lock, and so the event loop, until it is done
        (found,) = self.tokenizer.encode_batch([text], add_special_tokens=False)
        return list(found.ids)

    def stream(self, before: Sequence[int] = ()) -> "Stream":
        """Makes text of tokens as they come."""
        return Stream(self.tokenizer, before)


def _own_ends(entry: dict[str, Any]) -> list[int]:
    """The tokens that end a text by what preprocess.json says of an input alone."""
    return [] if "tokenizer" in entry else [vocabulary.end(entry)]


class Stream:
    """Text out of tokens: what is half a character waits for its other half.

    Args:
        tokenizer: whose tokens they are.
        before: the tokens of the text that it is to be appended to. Decoders such as Llama 2's leave out the space that
            a text's first word bears, and would leave out that between the two. Empty: it is a text of its own.
    """

    def __init__(self, tokenizer: Any, before: Sequence[int] = ()) -> None:
        from tokenizers.decoders import DecodeStream

        near = list(before[-NEAR:])
        if tokenizer.decode(near).endswith(HALF):  # what ends so would be told again with the other half
            near = []
        self._tokenizer, self._stream = tokenizer, DecodeStream(ids=near, skip_special_tokens=True)

    def step(self, token: int) -> str:
        """The text that a token adds; empty where more must come."""
        return str(self._stream.step(self._tokenizer, token) or "")
