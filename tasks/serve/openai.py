"""The form in which clients of language models ask and are answered: OpenAI's completions and chat completions.

Of its parameters those count that are named here; greedy is the only way of choosing. What says otherwise is refused;
what could change nothing then (top_p, seed, user) is left aside.
"""

import reprlib
import time
import uuid
from dataclasses import dataclass, field
from itertools import islice
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.serve.completing import Piece
from tasks.serve.speaker import LONGEST, Words

USUAL = 256  # tokens, where nobody says how many
STOPS = 4  # as OpenAI allows


Nothing = Annotated[float, Field(ge=0, le=0)] | None


class Extras(BaseModel):
    """What is told beside the text."""

    model_config = ConfigDict(extra="ignore", strict=True)
    include_usage: bool = False


class Form(BaseModel):
    """What the text is to look like."""

    model_config = ConfigDict(extra="ignore", strict=True)
    type: Literal["text"]


class _Asked(BaseModel):
    """What both have."""

    model_config = ConfigDict(extra="ignore", strict=True)
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool = False
    stream_options: Extras | None = None
    stop: str | Annotated[list[str], Field(max_length=STOPS)] | None = None
    temperature: Nothing = None
    frequency_penalty: Nothing = None
    presence_penalty: Nothing = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    n: Literal[1] | None = None
    tools: None = None
    logprobs: Literal[False] | None = None
    response_format: Form | None = None

    @property
    def told(self) -> bool:
        """Whether a stream ends with how many tokens there were."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end it; an empty one would end all."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(filter(None, given))


class Completion(_Asked):
    """A text to go on with."""

    prompt: str | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    best_of: Literal[1] | None = None
    echo: Literal[False] | None = None
    suffix: None = None


class Part(Form):
    """Some of a message's text."""

    text: str


class Message(BaseModel):
    """What one has said."""

    model_config = ConfigDict(extra="ignore", strict=True)
    role: str
    content: str | list[Part]

    @property
    def plain(self) -> dict[str, str]:
        """As templates read it."""
        whole = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": self.role, "content": whole}

    @property
    def length(self) -> int:
        """Characters of what was said."""
        return len(self.content) if isinstance(self.content, str) else sum(len(part.text) for part in self.content)


class Chat(_Asked):
    """Messages by turns."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None


def asked(kind: type[Completion] | type[Chat], body: bytes, room: int | None) -> Completion | Chat:
    """What a body asks for.

    Raises:
        ValueError: it is not of that form, wants what is not done here, or has more parts than the room tokens; in one
            line.
    """
    try:
        told = orjson.loads(body)
    except ValueError as error:
        raise ValueError(f"the body: no JSON: {error}") from None
    _few(told, room or LONGEST)
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        given = f"; received {_brief(first['input'])}" if first["loc"] else ""
        raise ValueError(f"{where}: {first['msg']}{given}") from None


def _few(told: Any, room: int) -> None:
    """Refuse what cannot fit before pydantic reads it, which takes seconds for what 16 MiB may hold."""
    for name in ("prompt", "messages"):
        found = told.get(name) if isinstance(told, dict) else None
        if not isinstance(found, list):
            continue
        parts = [each["content"] for each in found if isinstance(each, dict) and isinstance(each.get("content"), list)]
        if (count := max(len(found), sum(map(len, parts)))) > room:
            raise ValueError(f"{name}: the model has room for {room} tokens; received {count} parts")


def _brief(value: Any) -> str:
    """The beginning of a value, however much it is."""
    if isinstance(value, list | dict):
        value = value[:9] if isinstance(value, list) else dict(islice(value.items(), 9))
        return reprlib.repr(value)[:80]
    return str(value)[:80]


def prompted(wanted: Completion | Chat, words: Words, room: int | None) -> list[int]:
    """The tokens that are to be gone on with.

    Raises:
        ValueError: there are none, the text is longer than any that the room holds, or no template says how messages
            become a text.
    """
    most = (room or LONGEST) * words.longest
    if isinstance(wanted, Completion):
        ids = wanted.prompt if isinstance(wanted.prompt, list) else _begun(wanted.prompt, words, most)
        _check_any("prompt", ids)
        if max(ids) >= words.known:
            raise ValueError(f"prompt: tokens from 0 to {words.known - 1} expected; received {max(ids)}")
        return ids
    if words.chat is None:
        raise ValueError("messages: this model has no template for them; ask /v1/completions with a prompt")
    _within("messages", sum(message.length for message in wanted.messages), most)
    from tasks.serve import conversation  # Jinja is not for every server

    said = conversation.rendered(words.chat, [message.plain for message in wanted.messages], words.special)
    _within("messages", len(said), most)
    ids = words.numbers(said)
    _check_any("messages", ids)
    return ids


def _check_any(name: str, ids: list[int]) -> None:
    """Refuse what has nothing to be gone on from; it is the client's fault, which shall not try it again."""
    if not ids:
        raise ValueError(f"{name}: a text of one token at least expected; received an empty one")


def _begun(text: str, words: Words, most: int) -> list[int]:
    """The tokens of a text, behind the one that stands before every text."""
    _within("prompt", len(text), most)
    return [*([] if words.begins is None else [words.begins]), *words.numbers(text)]


def _within(name: str, length: int, most: int) -> None:
    """Refuse a text before it is made tokens of, which takes minutes and gigabytes for what 16 MiB may hold.

    No token stands for more characters than it has bytes, but one of unknown words.
    """
    if length > most:
        raise ValueError(f"{name}: the model has room for a text of {most} characters at most; received {length}")


def most(wanted: Completion | Chat, prompt: int, room: int | None) -> int:
    """How many tokens may be written behind so many of a prompt.

    Raises:
        ValueError: the room for both is too small.
    """
    left = (room or LONGEST) - prompt
    given = wanted.max_completion_tokens if isinstance(wanted, Chat) else None
    tokens = given or wanted.max_tokens
    if left < 1 or (tokens or 0) > left:
        raise ValueError(
            f"max_tokens: the model has room for {room or LONGEST} tokens; received a prompt of {prompt}"
            f" and {tokens or 'no'} max_tokens"
        )
    return tokens or min(USUAL, left)


@dataclass(frozen=True)
class Sheet:
    """What answers are written on: the same number, time and model on each part of one."""

    chat: bool
    model: str
    number: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def _headed(self, what: str, *choices: dict[str, Any]) -> dict[str, Any]:
        head = "chatcmpl" if self.chat else "cmpl"
        about = {"id": f"{head}-{self.number}", "object": what, "created": self.created, "model": self.model}
        return {**about, "choices": [{"index": 0, **choice, "logprobs": None} for choice in choices]}

    def _part(self, *choices: dict[str, Any]) -> dict[str, Any]:
        return self._headed("chat.completion.chunk" if self.chat else "text_completion", *choices)

    def part(self, piece: Piece, *, first: bool) -> dict[str, Any]:
        """A piece of a streamed answer."""
        if not self.chat:
            return self._part({"text": piece.text, "finish_reason": piece.ended})
        delta = {"role": "assistant", "content": piece.text} if first else {"content": piece.text}
        return self._part({"delta": delta, "finish_reason": piece.ended})

    def last(self, prompt: int, written: int) -> dict[str, Any]:
        """What stands behind all pieces of a streamed answer: how many tokens there were."""
        return {**self._part(), "usage": usage(prompt, written)}

    def whole(self, text: str, prompt: int, last: Piece) -> dict[str, Any]:
        """An answer in one."""
        if self.chat:
            choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}}
        else:
            choice = {"text": text}
        what = "chat.completion" if self.chat else "text_completion"
        told = self._headed(what, {**choice, "finish_reason": last.ended})
        return {**told, "usage": usage(prompt, last.tokens)}


def usage(prompt: int, written: int) -> dict[str, int]:
    """How many tokens there were."""
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
