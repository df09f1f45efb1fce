"""Greedy text by two language models: a draft proposes tokens, and one call of the target judges all of them.

Stern, Shazeer and Uszkoreit, "Blockwise Parallel Decoding for Deep Autoregressive Models" (2018); Leviathan, Kalman and
Matias, "Fast Inference from Transformers via Speculative Decoding" (2023), where each token is the likeliest one. A
proposal stays only where it is the target's own choice, so the text is the one that the target writes alone. What the
caches hold of proposals that do not stay is written over by what follows, as what is filled up is.
"""

from typing import Any

import numpy as np

from .arrays import Example, RefusedError
from .prompts import DECODE, VERIFY


class Going:
    """A model that goes on from prompts; its calls at each place are made once."""

    def __init__(self, model: Any, prompts: list[Example], signature: str) -> None:
        self.model, self._calls = model, dict[tuple[str, int], Any]()
        self._begun = [self._after(prompt, signature) for prompt in prompts]

    def _after(self, prompt: Example, signature: str) -> tuple[Any, Any, int]:
        """The state after a prompt, in the room of the call that comes next, and the likeliest token."""
        self.model.put(prompt)
        self.model.invoke()
        first = int(np.argmax(self.model.read()[0]))
        state = self._call(signature, len(prompt[0][1]))[0].state
        self.model.states.enter(state)
        return state, state.keep(), first

    def begin(self, number: int) -> int:
        """Stand behind a prompt again; the token that comes first there."""
        state, kept, first = self._begun[number]
        self.model.states.begin(state, kept)
        return first

    def told(self, signature: str, place: int, tokens: list[int]) -> list[int]:
        """Take tokens in from a place on; the likeliest one behind each."""
        call, scores = self._call(signature, place)
        call.write(tokens)
        call.run()
        found: list[int] = scores(len(tokens)).argmax(axis=1).tolist()
        return found

    def _call(self, signature: str, place: int) -> Any:
        if (signature, place) not in self._calls:
            self._calls[signature, place] = self.model.telling(signature, place)
        return self._calls[signature, place]


class Plain:
    """The text that the target writes alone, token by token. An example is the number of a prompt."""

    def __init__(self, target: Going, start: int, new_tokens: int) -> None:
        self._target, self._start, self._count = target, start, new_tokens
        self.text: list[int] = []

    def put(self, number: Any) -> None:
        """Stand behind a prompt."""
        self.text = [self._target.begin(number)]

    def invoke(self) -> None:
        """Write."""
        for place in range(self._start, self._start + self._count):
            self.text += self._target.told(DECODE, place, self.text[-1:])

    def read(self) -> list[Any]:
        """Nothing: the scores of each token have been read."""
        return []


class Speculated:
    """The same text, of which a draft proposes up to `ahead` tokens at a time."""

    def __init__(self, target: Going, draft: Going, start: int, new_tokens: int, ahead: int) -> None:
        self._target, self._draft = target, draft
        self._start, self._count, self._ahead = start, new_tokens, ahead
        self._number, self.expected = 0, dict[int, list[int]]()  # the target's own text, by prompt
        self.text: list[int] = []
        self.proposed = self.accepted = self.calls = 0  # of all runs
        self.wrong: str | None = None  # where the text is not the target's own

    def put(self, number: Any) -> None:
        """Stand behind a prompt."""
        self.check()
        self._number, self.text = number, [self._target.begin(number)]
        self._draft.begin(number)

    def invoke(self) -> None:
        """Write."""
        place, waiting = self._start, self.text[-1:]  # where the last token goes; what the draft has not taken in yet
        while (left := self._count + 1 - len(self.text)) > 0:
            count = min(self._ahead, left - 1)  # the call itself tells one more
            proposed = self._propose(waiting, place, count) if count else []
            signature = VERIFY.format(self._ahead + 1) if count else DECODE
            told = self._target.told(signature, place, [self.text[-1], *proposed])
            right = next((i for i in range(count) if proposed[i] != told[i]), count)
            self.text += told[: right + 1]
            waiting = self.text[-1:] if right < count else self.text[-2:]
            place += right + 1
            self.proposed, self.accepted, self.calls = self.proposed + count, self.accepted + right, self.calls + 1

    def read(self) -> list[Any]:
        """Nothing: the scores of each token have been read."""
        return []

    def check(self) -> None:
        """Compare the last text with the target's own, outside of any clock."""
        expected = self.expected.get(self._number, [])
        if len(self.text) == len(expected) and self.text != expected:
            first = next(i for i, (ours, own) in enumerate(zip(self.text, expected, strict=True)) if ours != own)
            self.wrong = f"prompt {self._number}, token {first}: {self.text[first]}; alone {expected[first]}"

    def facts(self) -> dict[str, Any]:
        """What came of it, in all runs."""
        self.check()
        counts = {name: getattr(self, name) for name in ("proposed", "accepted", "calls")}
        return {"speculation": {**counts, "wrong": self.wrong, "texts": list(self.expected.values())}}

    def _propose(self, waiting: list[int], place: int, count: int) -> list[int]:
        """The draft's own text behind those tokens, of which the last goes to `place`."""
        place -= len(waiting) - 1
        for token in waiting[:-1]:
            self._draft.told(DECODE, place, [token])
            place += 1
        found = waiting[-1:]
        for step in range(count):
            found += self._draft.told(DECODE, place + step, found[-1:])
        return found[1:]


def both(model: Any, prompts: list[Example], request: dict[str, Any]) -> tuple[Plain, Speculated]:
    """What writes `new_tokens` after prompts: the target alone, and with a draft that is up to `ahead` of it.

    Raises:
        RefusedError: the two know other tokens, or a cache has not the room.
    """
    ahead, count, start = request["ahead"], request["new_tokens"], len(prompts[0][0][1])
    draft = type(model)(request["draft"], request["draft_options"])
    if draft.vocabulary != model.vocabulary:
        raise RefusedError(f"the draft knows {draft.vocabulary} tokens, and what it writes for {model.vocabulary}")
    for who, each in (("its", model), ("the draft's", draft)):
        if each.room is not None and start + count + ahead > each.room:
            raise RefusedError(
                f"{who} state has room for {each.room} tokens; a prompt of {start}, {count} new ones and {ahead} that "
                "are proposed are more"
            )
    draft.prepare({"tokens": np.stack([tokens for ((_, tokens),) in prompts])})
    alone, target = Going(model, prompts, DECODE), Going(model, prompts, VERIFY.format(ahead + 1))
    plain = Plain(alone, start, count)
    speculated = Speculated(target, Going(draft, prompts, DECODE), start, count, ahead)
    for number in range(len(prompts)):
        for each in (plain, speculated):
            each.put(number)
            each.invoke()
        speculated.expected[number] = plain.text
    model.also = speculated.facts
    return plain, speculated
