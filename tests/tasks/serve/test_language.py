"""A language model behind HTTP writes what it would write by itself, as clients of OpenAI's form expect it."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import DataError
from tasks.examples import vocabulary
from tasks.formats import tflite
from tasks.quantize import signatures
from tasks.serve import server
from tasks.serve.app import Limits
from tasks.serve.completing import Held
from tasks.serve.counts import WINDOW
from tests.language import PLACES, PROMPT, WORDS, text_by_hand
from tests.serving import WAIT_S, Client, Told, bundle, read_slowly, sealed, served

LETTERS = "abcdefghij"  # the eleventh token stands for all others, and ends a text
TEXT = {"kind": "tokens", "shape": [PROMPT], "vocabulary": WORDS, "characters": LETTERS}
TARGET = {"kind": "class", "classes": [*LETTERS, "?"]}
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}a{% endif %}"
PATIENT = Limits(seconds=WAIT_S)
CHAT = "/v1/chat/completions"


def made(folder: Path, program: Path, entry: dict[str, Any] = TEXT) -> Path:
    calls = [call.model_dump() for call in signatures.read(tflite.load(program))]
    options = {"kernels": "default", "threads": 1, "signatures": calls, "asked": None}
    return bundle(folder, program, {"tokens": entry}, TARGET, "language", options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, language_models: dict[str, Path]) -> Path:
    return made(tmp_path_factory.mktemp("language") / "b", language_models["attending"])


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    with served(server.prepared(folder, 1, 1, PATIENT)) as client:
        yield client


def by_hand(prompt: str, most: int) -> str:
    """The text behind a prompt, up to the token that ends it."""
    tokens = text_by_hand("attending", [LETTERS.index(letter) for letter in prompt], most)
    end = tokens.index(WORDS - 1) if WORDS - 1 in tokens else most
    return "".join(LETTERS[token] for token in tokens[:end])


def events(told: Told) -> list[Any]:
    """What a stream of server-sent events holds; its last line says that it is done."""
    lines = told.content.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


PROMPTS = ["abc", "jihgf", "a", "cafe", "aaaaaaa"]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_text_is_the_likeliest_token_by_token(client: Client, prompt: str) -> None:
    expected = by_hand(prompt, PLACES - len(prompt))
    told = client.post("/v1/completions", {"prompt": prompt, "temperature": 0})
    (choice,) = told.json["choices"]
    assert choice["text"] == expected
    full = len(expected) == PLACES - len(prompt)
    assert choice["finish_reason"] == ("length" if full else "stop")
    usage = {"prompt_tokens": len(prompt), "completion_tokens": len(expected)}
    assert told.json["usage"] == {**usage, "total_tokens": len(prompt) + len(expected)}
    assert told.json["object"] == "text_completion"
    numbers = [LETTERS.index(letter) for letter in prompt]
    assert client.post("/v1/completions", {"prompt": numbers}).json["choices"][0]["text"] == expected
    streamed = client.post("/v1/completions", {"prompt": prompt, "stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    parts = events(streamed)
    assert len(parts) > 1 or not expected
    assert "".join(part["choices"][0]["text"] for part in parts) == expected
    assert [part["choices"][0]["finish_reason"] for part in parts[:-1]] == [None] * (len(parts) - 1)
    assert parts[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]
    assert len({part["id"] for part in parts}) == 1


def test_the_prompts_are_such_that_texts_differ_and_some_end() -> None:
    texts = [by_hand(prompt, PLACES - len(prompt)) for prompt in PROMPTS]
    assert len(set(texts)) > 2
    assert any(len(text) > 2 for text in texts)


def test_a_text_ends_where_it_is_told_to(client: Client) -> None:
    prompt = max(PROMPTS, key=lambda each: len(by_hand(each, PLACES - len(each))))
    whole = by_hand(prompt, PLACES - len(prompt))
    few = client.post("/v1/completions", {"prompt": prompt, "max_tokens": 2}).json["choices"][0]
    assert (few["text"], few["finish_reason"]) == (whole[:2], "length")
    stop = whole[2:4]
    found = client.post("/v1/completions", {"prompt": prompt, "stop": ["zz", stop]}).json["choices"][0]
    assert (found["text"], found["finish_reason"]) == (whole[: whole.index(stop)], "stop")


def test_a_token_that_the_bundle_says_ends_a_text_does(tmp_path: Path, folder: Path) -> None:
    prompt = max(PROMPTS, key=lambda each: len(set(by_hand(each, PLACES - len(each)))))
    whole = by_hand(prompt, PLACES - len(prompt))
    end = next(letter for letter in whole if letter != whole[0])
    other = made(tmp_path / "b", folder / "attending.tflite")
    (other / "words.json").write_text(json.dumps({"ends": [LETTERS.index(end)], "begins": None, "chat": None}))
    sealed(other, json.loads((other / "manifest.json").read_text()))
    with served(server.prepared(other, 1, 1, PATIENT)) as client:
        (choice,) = client.post("/v1/completions", {"prompt": prompt}).json["choices"]
    assert (choice["text"], choice["finish_reason"]) == (whole[: whole.index(end)], "stop")


def test_messages_become_a_text_by_the_models_own_template(tmp_path: Path, folder: Path, client: Client) -> None:
    asked = {"messages": [{"role": "system", "content": "b"}, {"role": "user", "content": "c"}]}
    none = client.post(CHAT, asked)
    assert (none.status, "has no template" in none.json["error"]["message"]) == (400, True)
    other = made(tmp_path / "b", folder / "attending.tflite")
    (other / "words.json").write_text(json.dumps({"ends": [WORDS - 1], "begins": None, "chat": TEMPLATE}))
    sealed(other, json.loads((other / "manifest.json").read_text()))
    expected = by_hand("bca", PLACES - 3)
    with served(server.prepared(other, 1, 1, PATIENT)) as client:
        told = client.post(CHAT, asked).json
        assert told["object"] == "chat.completion"
        assert told["choices"][0]["message"] == {"role": "assistant", "content": expected}
        parts = events(client.post(CHAT, {**asked, "stream": True}))
        assert parts[0]["object"] == "chat.completion.chunk"
        assert parts[0]["choices"][0]["delta"]["role"] == "assistant"
        assert "".join(part["choices"][0]["delta"]["content"] for part in parts) == expected


def test_a_template_writes_the_tokens_that_begin_and_end_a_text_by_name(tmp_path: Path, folder: Path) -> None:
    """Llama 3's begins by `bos_token`, Zephyr's ends each message by `eos_token`: without them it is another text."""
    template = "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    template += "{{ pad_token }}{% if tools is not none %}j{% endif %}"
    other = made(tmp_path / "b", folder / "attending.tflite")
    told = {"ends": [WORDS - 1], "begins": None, "chat": template, "special": {"bos_token": "d", "eos_token": "e"}}
    (other / "words.json").write_text(json.dumps(told))
    sealed(other, json.loads((other / "manifest.json").read_text()))
    with served(server.prepared(other, 1, 1, PATIENT)) as client:
        answer = client.post(CHAT, {"messages": [{"role": "user", "content": each} for each in "bc"]}).json
    assert answer["choices"][0]["message"]["content"] == by_hand("dbece", PLACES - 5)
    assert answer["usage"]["prompt_tokens"] == 5


WRONG = {
    "another way of choosing": ({"prompt": "a", "temperature": 0.7}, "temperature: "),
    "several": ({"prompt": "a", "n": 2}, "n: "),
    "no prompt": ({}, "prompt"),
    "an empty one": ({"prompt": ""}, "prompt: a text of one token at least expected"),
    "too long a one": ({"prompt": "a" * PLACES}, f"room for {PLACES} tokens; received a prompt of {PLACES}"),
    "too long an answer": ({"prompt": "abc", "max_tokens": PLACES}, f"a prompt of 3 and {PLACES} max_tokens"),
    "less than one": ({"prompt": "abc", "max_tokens": 0}, "max_tokens: "),
    "tools": ({"prompt": "abc", "tools": []}, "tools: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_told_in_one_line(client: Client, case: str) -> None:
    body, said = WRONG[case]
    told = client.post("/v1/completions", body)
    assert told.status == 400
    assert said in told.json["error"]["message"]
    assert len(told.json["error"]["message"].splitlines()) == 1


def test_a_token_that_the_model_does_not_know_is_told(client: Client) -> None:
    told = client.post("/v1/completions", {"prompt": [WORDS]})
    assert (told.status, told.json["error"]["message"]) == (400, "prompt: tokens from 0 to 10 expected; received 11")


def test_texts_are_counted_and_so_are_their_tokens(folder: Path) -> None:
    prompt = max(PROMPTS, key=lambda each: len(by_hand(each, 3)))
    with served(server.prepared(folder, 1, 1, PATIENT)) as client:
        for _ in range(WINDOW):
            assert client.post("/v1/completions", {"prompt": prompt, "max_tokens": 3}).status == 200
        (window,) = client.get("/counts").json["windows"]
        told = client.get("/metrics").content.decode()
    assert (window["answers"], sum(window["invoke"]), window["labels"]) == (WINDOW, WINDOW, {})
    assert f'tercet_tokens_total{{which="prompt"}} {WINDOW * len(prompt)}.0' in told
    assert f'tercet_tokens_total{{which="written"}} {WINDOW * len(by_hand(prompt, 3))}.0' in told


def test_a_model_is_named(client: Client) -> None:
    (model,) = client.get("/v1/models").json["data"]
    assert model["id"] == "v-here"
    assert client.post("/v1/completions", {"prompt": "a"}).json["model"] == "v-here"


@pytest.mark.parametrize("stream", [True, False])
def test_what_nobody_waits_for_is_not_written_on(folder: Path, stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    service = server.prepared(folder, 1, 1, PATIENT)
    written = []

    def endless(_self: object, _prompt: list[int]) -> Iterator[int]:
        while True:
            written.append(1)
            time.sleep(0.01)
            yield 1

    monkeypatch.setattr("tasks.serve.speaker.Litert.tokens", endless)
    monkeypatch.setattr("tasks.serve.openai.most", lambda *_: 10**6)
    with served(service) as client:
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=WAIT_S)
        body = json.dumps({"prompt": "a", "stream": stream})
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        while len(written) < 5:
            time.sleep(0.01)
        assert service.pool.inside == 1
        connection.close()
        until = time.monotonic() + WAIT_S
        while service.pool.inside and time.monotonic() < until:
            time.sleep(0.01)
        assert service.pool.inside == 0
        done = len(written)
        time.sleep(0.1)
        assert len(written) == done


def test_a_text_that_takes_too_long_breaks_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_self: object, _prompt: list[int]) -> Iterator[int]:
        while True:
            time.sleep(0.05)
            yield 1

    monkeypatch.setattr("tasks.serve.speaker.Litert.tokens", slow)
    monkeypatch.setattr("tasks.serve.openai.most", lambda *_: 10**6)
    with served(server.prepared(folder, 1, 1, Limits(seconds=1.5))) as client:
        assert client.post("/v1/completions", {"prompt": "a"}).status == 504
        *parts, last = events(client.post("/v1/completions", {"prompt": "a", "stream": True}))
        assert parts
        assert "no end within 1.5 s" in last["error"]["message"]


def test_what_is_half_read_counts_and_so_long_as_it_is_there(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    service = server.prepared(folder, 1, 1, Limits(seconds=WAIT_S, inside=2))
    with served(service) as client:
        read_slowly(client, CHAT, service.pool)
        read_slowly(client, "/v1/completions", service.pool)
        wrong = [client.post("/v1/completions", body).status for body in ({}, {"prompt": "a", "model": "b"}) * 2]
        assert wrong == [400, 404] * 2
        assert client.post("/v1/completions", {"prompt": "a"}).status == 200
    assert service.pool.inside == 0
    assert "Traceback" not in capfd.readouterr().err


def test_a_model_of_numbers_alone_is_not_served(tmp_path: Path, folder: Path) -> None:
    numbers = {name: value for name, value in TEXT.items() if name != "characters"}
    other = made(tmp_path / "b", folder / "attending.tflite", numbers)
    with pytest.raises(DataError, match="nobody says which text its tokens are"):
        server.prepared(other, 1, 1, PATIENT)


def test_numbers_are_served_by_the_words_that_go_with_them(tmp_path: Path, folder: Path) -> None:
    """Where the data are numbers the checkpoint says what text they are, and `words.json` has it."""
    other = made(tmp_path / "b", folder / "attending.tflite", {k: v for k, v in TEXT.items() if k != "characters"})
    tokenizer = json.loads(vocabulary.tokenizer(TEXT).to_str())
    about = {"ends": [WORDS - 1], "begins": None, "chat": None, "tokenizer": tokenizer}
    (other / "words.json").write_text(json.dumps(about))
    sealed(other, json.loads((other / "manifest.json").read_text()))
    with served(server.prepared(other, 1, 1, PATIENT)) as client:
        (choice,) = client.post("/v1/completions", {"prompt": "cafe"}).json["choices"]
    assert choice["text"] == by_hand("cafe", PLACES - 4)


@given(
    pieces=st.lists(st.text("abc", max_size=3), max_size=8),
    stops=st.lists(st.text("abc", min_size=1, max_size=3), max_size=3),
)
def test_what_ends_a_text_is_found_wherever_pieces_part(pieces: list[str], stops: list[str]) -> None:
    held, told, whole = Held(tuple(stops)), "", ""
    for piece in pieces:
        told, whole = told + held.add(piece), whole + piece
        ends = [whole.find(stop) for stop in stops if stop in whole]
        assert held.found == bool(ends)
        if ends:
            assert told == whole[: min(ends)]
            return
        assert whole.startswith(told)
    assert told + held.rest() == whole
