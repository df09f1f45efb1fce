"""Which prompts a language model takes, and by which signatures: no runtime is needed to tell."""

import re
from collections.abc import Iterable
from math import prod
from typing import Any

from .arrays import RefusedError

DECODE, PREFILL = "decode", "prefill"
VERIFY = "verify_{}"  # a signature that takes so many tokens behind others, and tells the scores behind each
IN_ROOM = "room_{}_{}"  # a signature whose state has room for fewer tokens than that of the same name alone
CALL = 16  # tokens that cost what a call does whatever it takes: it reads all weights
ROOM = re.compile(r"room_([1-9]\d*)_(.+)")


def checked(tokens: Any, room: int | None, known: int, whole: int | None = None) -> int:
    """How long prompts are that a model takes; of one that takes them whole, so many tokens alone.

    Raises:
        RefusedError: they are empty, longer than the room, no whole window, or of tokens that the model does not know.
    """
    if tokens.ndim != 2:
        raise RefusedError(f"a prompt is a row of tokens; received {tokens.shape[1:]}")
    n: int = tokens.shape[1]
    if n == 0:
        raise RefusedError("an empty prompt; one token at least is needed, behind which the next one is told")
    if whole is not None and n != whole:
        raise RefusedError(f"it is asked at each place of {whole} tokens; a prompt has {n}")
    if room is not None and n > room:
        raise RefusedError(f"its state has room for {room} tokens; a prompt has {n}")
    if (strange := tokens[(tokens < 0) | (tokens >= known)]).size:
        raise RefusedError(f"a prompt has the token {strange[0]}; the model knows {known}, from 0 on")
    return n


def parts(about: dict[str, dict[str, Any]], n: int) -> list[tuple[str, int]]:
    """The signatures that take a prompt of n tokens, call by call, and how many of its tokens each takes.

    As often as it goes into the prompt the longest prefill, then the next, and what is left token by token; or only the
    first of these, and what is left by the shortest prefill that covers it, filled up: whichever costs less.
    """
    prefills = [signature for name, signature in about.items() if name.startswith(PREFILL)]
    whole: list[tuple[str, int]] = []
    for signature in sorted(prefills, key=length, reverse=True):
        last = 0 if gives_scores(signature) else 1
        left = n - sum(count for _, count in whole)
        whole += [(signature["name"], length(signature))] * ((left - last) // length(signature))
    ways = []
    for k in range(len(whole) + 1):
        place = sum(count for _, count in whole[:k])
        if filled := _filled(about, prefills, place, n - place - 1):
            ways.append([*whole[:k], (filled["name"], n - place - 1), (DECODE, 1)])
    ways.append(whole + [(DECODE, 1)] * (n - place))
    return min(ways, key=lambda way: sum(CALL + length(about[name]) for name, _ in way))


def _filled(
    about: dict[str, dict[str, Any]], prefills: list[dict[str, Any]], place: int, left: int
) -> dict[str, Any] | None:
    """The shortest prefill that takes what is left, and no place beyond the state's end, where nothing is written.

    Where it writes the state in place, each token has a place of its own there, as the one that decode takes has.
    """
    room = about[DECODE]["places"] or 0
    fitting = [each for each in prefills if each["in_place"] and 0 < left <= length(each) <= room - place]
    return min(fitting, key=length, default=None)


def calls(about: dict[str, dict[str, Any]], n: int) -> list[tuple[dict[str, Any], int, int]]:
    """The signatures of `parts`, each in the smallest room; from which place on, and how many tokens each takes."""
    found, place = [], 0
    for name, count in parts(about, n):
        found.append((at(about, name, place), place, count))
        place += count
    return found


def at(about: dict[str, dict[str, Any]], name: str, place: int) -> dict[str, Any]:
    """A signature in the smallest room of the file that has the places which it writes, from `place` on."""
    return about[roomy(about, name, place + length(about[name]))]


def roomy(names: Iterable[str], name: str, places: int) -> str:
    """What a call is named in the smallest room for so many places; without smaller rooms, as in the largest."""
    found = ((int(room[1]), other) for other in names if (room := ROOM.fullmatch(other)) and room[2] == name)
    return min((each for each in found if each[0] >= places), default=(0, name))[1]


def length(signature: dict[str, Any]) -> int:
    """How many tokens it takes."""
    (tokens,) = (tensor for tensor in signature["inputs"] if tensor["name"] == "tokens")
    return prod(tokens["shape"])


def gives_scores(signature: dict[str, Any]) -> bool:
    """Whether it tells the scores of the next token."""
    return any(tensor["name"] not in signature["state"] for tensor in signature["outputs"])
