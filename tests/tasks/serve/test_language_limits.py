"""One request to a language model costs what its room allows, and keeps nobody else waiting while it is read."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tasks.serve import server
from tasks.serve.app import Limits
from tasks.serve.completing import Held
from tasks.serve.speaker import Words
from tests.language import PLACES, WORDS
from tests.serving import WAIT_S, Client, Told, sealed, served
from tests.tasks.serve.test_language import CHAT, PATIENT, made

LONGEST = len("[other]")  # the longest of the tokens
MOST = PLACES * LONGEST  # characters of a text that may fit
TWICE = "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}"
COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, language_models: dict[str, Path]) -> Path:
    folder = made(tmp_path_factory.mktemp("limits") / "b", language_models["attending"])
    (folder / "words.json").write_text(json.dumps({"ends": [WORDS - 1], "begins": None, "chat": TWICE}))
    return sealed(folder, json.loads((folder / "manifest.json").read_text()))


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    with served(server.prepared(folder, 1, 1, PATIENT)) as client:
        yield client


def said(told: Told) -> str:
    assert told.status == 400
    return str(told.json["error"]["message"])


def messages(*contents: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content} for content in contents]}


LONG = "the model has room for a text of {} characters at most; received {}"
MANY = "the model has room for {} tokens; received {} parts"
PART = {"type": "text", "text": ""}
UNREAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "a text": (COMPLETIONS, {"prompt": "a" * (MOST + 1)}, "prompt: " + LONG.format(MOST, MOST + 1)),
    "tokens": (COMPLETIONS, {"prompt": [1] * (PLACES + 1)}, "prompt: " + MANY.format(PLACES, PLACES + 1)),
    "a message": (CHAT, messages("a", "a" * MOST), "messages: " + LONG.format(MOST, MOST + 1)),
    "what the template makes": (CHAT, messages("a" * MOST), "messages: " + LONG.format(MOST, 2 * MOST)),
    "messages": (CHAT, messages(*"a" * (PLACES + 1)), "messages: " + MANY.format(PLACES, PLACES + 1)),
    "parts": (CHAT, messages("a", [PART] * PLACES, [PART]), "messages: " + MANY.format(PLACES, PLACES + 1)),
}


@pytest.mark.parametrize("case", UNREAD)
def test_what_cannot_fit_is_refused_before_it_is_made_tokens_of(
    client: Client, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    def never(_self: Words, _text: str) -> list[int]:
        raise AssertionError("it is tokenized")

    monkeypatch.setattr(Words, "numbers", never)
    path, body, message = UNREAD[case]
    assert said(client.post(path, body)) == message


def test_what_may_fit_is_read(client: Client) -> None:
    whole = f"the model has room for {PLACES} tokens; received a prompt of {MOST} and no max_tokens"
    assert whole in said(client.post(COMPLETIONS, {"prompt": "a" * MOST}))
    assert whole in said(client.post(CHAT, messages("a" * (MOST // 2))))
    assert client.post(CHAT, messages(*"abcde")).status == 200
    assert client.post(COMPLETIONS, {"prompt": [1] * (PLACES - 1)}).status == 200
    assert f"received a prompt of {PLACES} and no" in said(client.post(COMPLETIONS, {"prompt": [1] * PLACES}))


@pytest.mark.parametrize("stream", [True, False])
def test_messages_of_which_the_template_makes_nothing_are_the_clients_fault(client: Client, stream: bool) -> None:
    """OpenAI's client would ask what is answered with 500 twice more."""
    told = client.post(CHAT, messages("") | {"stream": stream})
    assert said(told) == "messages: a text of one token at least expected; received an empty one"


def test_others_are_answered_while_a_prompt_is_read_and_the_limit_holds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, numbers = threading.Event(), threading.Event(), Words.numbers

    def waiting(self: Words, text: str) -> list[int]:
        begun.set()
        assert go.wait(WAIT_S)
        return numbers(self, text)

    monkeypatch.setattr(Words, "numbers", waiting)
    service = server.prepared(folder, 1, 1, Limits(seconds=1))
    with served(service) as client, ThreadPoolExecutor(2) as threads:
        late = [threads.submit(client.post, *each) for each in ((COMPLETIONS, {"prompt": "a"}), (CHAT, messages("a")))]
        try:
            assert begun.wait(WAIT_S)
            assert client.get("/health").status == 200
            assert [each.result(WAIT_S).status for each in late] == [504, 504]
        finally:
            go.set()
        assert service.pool.inside == 0


def test_what_is_wrong_is_told_of_in_few_words(client: Client) -> None:
    for body in ({"prompt": {"a" * 9999: 1}}, {"prompt": "a", "stop": ["a" * 9999] * 5}, {"prompt": "a", "n": 10**999}):
        assert len(said(client.post(COMPLETIONS, body))) < 200
    told = client.post(COMPLETIONS, {"prompt": "a", "model": "b" * 9999})
    assert (told.status, len(told.content) < 300) == (404, True)


class Counted(str):
    """A text that counts how often a part of it is taken."""

    taken = 0

    def __getitem__(self, part: Any) -> str:
        Counted.taken += 1
        return super().__getitem__(part)


def test_an_end_costs_as_much_as_is_written_not_as_long_as_it_is() -> None:
    held = Held((Counted("ab" * 500),))
    assert [held.add(piece) for piece in ("xa", "b", "ab", "b")] == ["x", "", "", "ababb"]
    assert Counted.taken < 20
