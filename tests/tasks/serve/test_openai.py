"""OpenAI's own client asks a served language model, and is answered, streamed to and refused as it expects."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tasks.serve import server
from tasks.serve.app import Limits
from tests.language import PLACES, WORDS
from tests.serving import Client, sealed, served
from tests.tasks.serve.test_language import LETTERS, PATIENT, PROMPTS, TEMPLATE, by_hand, made

NAME = "v-here"
PROMPT = "cafe"
SAID = [{"role": "system", "content": "b"}, {"role": "user", "content": [{"type": "text", "text": "c"}]}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, language_models: dict[str, Path]) -> Path:
    folder = made(tmp_path_factory.mktemp("openai") / "b", language_models["attending"])
    (folder / "words.json").write_text(json.dumps({"ends": [WORDS - 1], "begins": None, "chat": TEMPLATE}))
    return sealed(folder, json.loads((folder / "manifest.json").read_text()))


def client_of(there: Client, **options: Any) -> openai.OpenAI:
    past_proxies = openai.DefaultHttpxClient(trust_env=False)
    address = f"http://127.0.0.1:{there.port}/v1"
    return openai.OpenAI(base_url=address, api_key="none", http_client=past_proxies, **options)


@pytest.fixture(scope="module")
def there(folder: Path) -> Iterator[Client]:
    with served(server.prepared(folder, 1, 1, PATIENT)) as client:
        yield client


@pytest.fixture(scope="module")
def client(there: Client) -> Iterator[openai.OpenAI]:
    with client_of(there, max_retries=0) as client:
        yield client


def test_a_text_is_gone_on_with(client: openai.OpenAI) -> None:
    expected = by_hand(PROMPT, PLACES - len(PROMPT))
    raw = client.completions.with_raw_response.create(model=NAME, prompt=PROMPT)
    told = Completion.model_validate_json(raw.content)  # the client itself would take less than what its types say
    assert (told.choices[0].text, told.model, told.object) == (expected, NAME, "text_completion")
    assert told.usage is not None
    assert told.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": len(PROMPT), "completion_tokens": len(expected), "total_tokens": len(PROMPT) + len(expected)
    }  # fmt: skip
    assert raw.parse() == told


def test_it_ends_where_it_is_told_to(client: openai.OpenAI) -> None:
    prompt = max(PROMPTS, key=lambda each: len(by_hand(each, PLACES - len(each))))
    whole = by_hand(prompt, PLACES - len(prompt))
    few = client.completions.create(model=NAME, prompt=prompt, max_tokens=2, temperature=0).choices[0]
    assert (few.text, few.finish_reason) == (whole[:2], "length")
    stop = whole[2:4]
    found = client.completions.create(model=NAME, prompt=prompt, stop=["zz", stop]).choices[0]
    assert (found.text, found.finish_reason) == (whole[: whole.index(stop)], "stop")


@pytest.mark.parametrize("told", [True, False])
def test_a_stream_tells_the_same_text_and_its_tokens_where_asked(client: openai.OpenAI, told: bool) -> None:
    prompt = max(PROMPTS, key=lambda each: len(by_hand(each, PLACES - len(each))))
    expected = by_hand(prompt, PLACES - len(prompt))
    with client.completions.create(
        model=NAME, prompt=prompt, stream=True, stream_options={"include_usage": told}
    ) as stream:
        parts = list(stream)
    texts = [part for part in parts if part.choices]
    assert len(texts) > 2
    assert "".join(part.choices[0].text for part in texts) == expected
    assert [part.usage.completion_tokens for part in parts if part.usage] == [len(expected)] * told
    assert (parts[-1].usage is not None) is told


def test_a_conversation_is_answered_and_streamed(client: openai.OpenAI) -> None:
    expected = by_hand("bca", PLACES - 3)
    raw = client.chat.completions.with_raw_response.create(model=NAME, messages=SAID, max_completion_tokens=9)
    told = ChatCompletion.model_validate_json(raw.content)
    assert (told.choices[0].message.role, told.choices[0].message.content) == ("assistant", expected)
    stream = client.chat.completions.create(
        model=NAME, messages=SAID, stream=True, stream_options={"include_usage": True}
    )
    parts = [ChatCompletionChunk.model_validate(part.model_dump()) for part in stream]
    assert parts[0].choices[0].delta.role == "assistant"
    assert "".join(part.choices[0].delta.content or "" for part in parts[:-1]) == expected
    assert parts[-2].choices[0].finish_reason == told.choices[0].finish_reason
    assert (parts[-1].choices, parts[-1].usage) == ([], told.usage)


def test_models_are_told(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.owned_by) == (NAME, "tercet")
    assert abs(time.time() - model.created) < 3600
    assert client.models.retrieve(NAME) == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt")


WRONG: dict[str, tuple[type[openai.APIStatusError], dict[str, Any], str]] = {
    "another model": (openai.NotFoundError, {"model": "gpt"}, f"model: {NAME} expected; received gpt"),
    "too long a prompt": (openai.BadRequestError, {"prompt": "a" * PLACES}, "max_tokens: the model has room for"),
    "draws": (openai.BadRequestError, {"temperature": 0.7}, "temperature: "),
    "a penalty": (openai.BadRequestError, {"presence_penalty": 1.0}, "presence_penalty: "),
    "likelier tokens": (openai.BadRequestError, {"logit_bias": {"1": 5}}, "logit_bias: "),
    "several": (openai.BadRequestError, {"n": 2}, "n: "),
    "what stands behind it": (openai.BadRequestError, {"suffix": "b"}, "suffix: "),
    "the best of several": (openai.BadRequestError, {"best_of": 3}, "best_of: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_an_exception_of_the_client(client: openai.OpenAI, case: str) -> None:
    kind, asked, said = WRONG[case]
    with pytest.raises(kind) as caught:
        client.completions.create(**{"model": NAME, "prompt": PROMPT, **asked})
    assert said in str(caught.value)
    body = caught.value.body
    assert isinstance(body, dict)
    assert body["type"] == "invalid_request_error"
    assert len(body["message"].splitlines()) == 1
    assert caught.value.code == ("model_not_found" if case == "another model" else None)


def test_an_image_in_a_conversation_is_refused(client: openai.OpenAI) -> None:
    picture: Any = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]}
    with pytest.raises(openai.BadRequestError, match=r"messages\.0\.content"):
        client.chat.completions.create(model=NAME, messages=[picture])
    with pytest.raises(openai.BadRequestError, match="response_format"):
        client.chat.completions.create(model=NAME, messages=SAID, response_format={"type": "json_object"})


def slow(_self: object, _prompt: list[int]) -> Iterator[int]:
    while True:
        time.sleep(0.02)
        yield 1


def test_what_takes_too_long_is_not_asked_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries twice more what a server fails in, which would take as long again."""
    monkeypatch.setattr("tasks.serve.speaker.Litert.tokens", slow)
    monkeypatch.setattr("tasks.serve.openai.most", lambda *_: 10**6)
    with served(server.prepared(folder, 1, 1, Limits(seconds=0.5))) as there, client_of(there) as client:
        with pytest.raises(openai.InternalServerError, match=r"no end within 0\.5 s; ask for fewer max_tokens"):
            client.completions.create(model=NAME, prompt="a")
        assert 'tercet_requests_total{status="504"} 1.0' in there.get("/metrics").content.decode()
        stream = client.completions.create(model=NAME, prompt="a", stream=True)
        assert next(stream).choices[0].text == LETTERS[1]
        with pytest.raises(openai.APIError, match=r"no end within 0\.5 s"):
            list(stream)


def test_a_full_queue_is_tried_again_as_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def waiting(_self: object, _prompt: list[int]) -> Iterator[int]:
        go.wait()
        yield from [1, WORDS - 1]

    monkeypatch.setattr("tasks.serve.speaker.Litert.tokens", waiting)
    limits = Limits(seconds=PATIENT.seconds, inside=1)
    with served(server.prepared(folder, 1, 1, limits)) as there, client_of(there, max_retries=5) as client:
        stream = client.completions.create(model=NAME, prompt="a", stream=True)
        with client_of(there, max_retries=0) as other, pytest.raises(openai.InternalServerError) as caught:
            other.completions.create(model=NAME, prompt="a")
        assert (caught.value.status_code, caught.value.response.headers["retry-after"]) == (503, "1")
        threading.Timer(0.2, go.set).start()
        assert client.completions.create(model=NAME, prompt="a").choices[0].text == LETTERS[1]
        assert "".join(part.choices[0].text for part in stream) == LETTERS[1]


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_prompts_are_answered_as_the_runner_answers_them(
    client: openai.OpenAI, language_models: dict[str, Path], folder: Path, count: int
) -> None:
    from tasks.bench.runner import language as runner

    program = json.loads((folder / "manifest.json").read_text())["program"]
    model, rng = runner.Model(str(language_models["attending"]), program["options"]), np.random.default_rng(3)
    texts = set()
    for _ in range(count):
        prompt = rng.integers(0, WORDS - 1, rng.integers(1, PLACES - 3))
        (example,) = model.prepare({"tokens": prompt[None].astype(np.int32)})
        told = model.decoding(example, 4).tokens
        end = told.index(WORDS - 1) if WORDS - 1 in told else len(told)
        found = client.completions.create(model=NAME, prompt=prompt.tolist(), max_tokens=4)
        assert found.choices[0].text == "".join(LETTERS[token] for token in told[:end])
        texts.add(found.choices[0].text)
    assert len(texts) > 5, "the check would be empty"
