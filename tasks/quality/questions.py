"""Multiple-choice questions in a file, and the windows of tokens that a language model answers them by.

Each line of the file is a JSON object, as lm-evaluation-harness has its documents once their templates are filled in:
`query`, a text; `choices`, two texts or more that may go on from it; `gold`, the place of the right one, from 0. Other
keys are not looked at. A space comes between query and choice where neither has one there. As in the harness (Gao et
al., "A framework for few-shot language model evaluation"), both become tokens together, spaces at the query's end are
the choice's, and of what is longer than the window the beginning is left out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.errors import DataError
from tasks.examples import Arrays, vocabulary

PLACES, TOKENS = "(places)", "(tokens)"  # targets, as in kept.py
NONE = -1  # no place


@dataclass(frozen=True)
class Question:
    """A text, the choices that may go on from it, and the place of the right one."""

    query: str
    choices: tuple[str, ...]
    gold: int

    def text(self, choice: str) -> str:
        """The query with a choice behind it."""
        apart = self.query[-1:].isspace() or choice[:1].isspace()
        return self.query + choice if apart else f"{self.query} {choice}"


@dataclass(frozen=True)
class Asked:
    """What a model is asked: windows [n, length], each once, with up to k continuations of up to m tokens to be told.

    The targets PLACES and TOKENS, int32 [n, k, m], say where in the window a token of a continuation is told, and which
    it is; NONE where there is none.
    """

    examples: Arrays
    answers: tuple[tuple[tuple[int, int], ...], ...]  # by question and choice: the window, and which continuation of it
    cut: int  # questions of which some text was longer than the window


def read(path: Path) -> list[Question]:
    """The questions of a file.

    Raises:
        DataError: it is not there, or a line is no question; the message says which.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # JSON may hold what else ends a line, such as U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"evaluate.choices: {path}: {error}; a file with a question a line is expected") from None
    found = [_question(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError(f"evaluate.choices: {path}: no question in it")
    return found


def _question(line: str, where: str) -> Question:
    try:
        given = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: no JSON: {error}") from None
    query, choices, gold = (given.get(key) if isinstance(given, dict) else None for key in ("query", "choices", "gold"))
    if not isinstance(query, str) or not query.strip():
        raise DataError(f"{where}: query: a text that is not empty expected; received {str(query)[:40]!r}")
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
        raise DataError(f"{where}: choices: two texts or more expected; received {str(choices)[:40]}")
    if isinstance(gold, bool) or not isinstance(gold, int) or not 0 <= gold < len(choices):
        raise DataError(f"{where}: gold: a place from 0 to {len(choices) - 1} expected; received {str(gold)[:40]}")
    if bad := next((sign for sign in "".join((query, *choices)) if "\ud800" <= sign <= "\udfff"), None):
        raise DataError(f"{where}: texts expected; received \\u{ord(bad):04x}, half a character")
    return Question(query, tuple(choices), gold)


def ask(questions: Sequence[Question], name: str, entry: dict[str, Any]) -> Asked:
    """The windows by which a language model tells how likely each choice is.

    Choices of one token behind the same text share a window.

    Args:
        questions: what is asked.
        name: of the model's input.
        entry: what preprocess.json says of it: its tokens, and the length of a window.

    Raises:
        DataError: a choice is longer than the window, or a character is none of the data's.
    """
    maker, (length,) = vocabulary.maker(entry), entry["shape"]
    windows: dict[tuple[int, ...], list[list[int]]] = {}  # and the continuations that each tells
    numbers: dict[tuple[int, ...], int] = {}
    answers, cut = [], 0
    for number, question in enumerate(questions, 1):
        where, places = f"evaluate.choices: question {number}", []
        letters = set("".join(map(question.text, question.choices)))
        if strange := letters - set(entry.get("characters", letters)):
            raise DataError(f"{where}: {min(strange)!r} is none of the characters of the text; leave the question out")
        told = _continuations(maker, question, where, length)
        for ids, continuation in told:
            window = tuple(ids[-length - 1 : -1])
            among = windows.setdefault(window, [])
            places.append((numbers.setdefault(window, len(numbers)), len(among)))
            among.append(continuation)
        cut += max(len(ids) for ids, _ in told) > length + 1
        answers.append(tuple(places))
    return Asked(_examples(windows, name, length), tuple(answers), cut)


def _continuations(maker: Any, question: Question, where: str, length: int) -> list[tuple[list[int], list[int]]]:
    """Of each choice the tokens of the whole text, and those of them that are the choice's."""
    begin, found = len(_ids(maker, question.query.rstrip())), []
    for choice in question.choices:
        ids = _ids(maker, question.text(choice))
        told = ids[begin:]
        if not begin or not 0 < len(told) <= length:
            raise DataError(
                f"{where}: the choice {choice[:40]!r} is {len(told)} tokens behind {begin}; 1 to {length} "
                "(prepare.length) behind one or more expected"
            )
        found.append((ids, told))
    return found


def _ids(maker: Any, text: str) -> list[int]:
    ids: list[int] = maker.encode(text, add_special_tokens=False).ids
    return ids


def _examples(windows: dict[tuple[int, ...], list[list[int]]], name: str, length: int) -> Arrays:
    """Windows filled up behind, where nothing sees it, and what each is to tell."""
    longest = max(len(told) for many in windows.values() for told in many)
    shape = len(windows), max(map(len, windows.values())), longest
    inputs = np.zeros((len(windows), length), np.int32)
    places, tokens = np.full(shape, NONE, np.int32), np.full(shape, NONE, np.int32)
    for i, (window, many) in enumerate(windows.items()):
        inputs[i, : len(window)] = window
        for k, told in enumerate(many):
            places[i, k, : len(told)] = np.arange(len(window) - len(told), len(window))
            tokens[i, k, : len(told)] = told
    return Arrays({name: inputs}, {PLACES: places, TOKENS: tokens})
