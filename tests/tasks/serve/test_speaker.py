"""The text of tokens that come one by one is what stands behind the prompt's own in the text of all of them."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from tasks.examples import vocabulary
from tasks.serve import server
from tasks.serve.speaker import HALF, Stream
from tests.language import PLACES, WORDS, text_by_hand
from tests.serving import sealed, served
from tests.tasks.serve.test_language import CHAT, PATIENT, made

SPACED = [f"▁{letter}" for letter in "abcdefghij"]


def spaced() -> Any:
    """Words that bear the space before them, of which a text's first one loses its own: as Llama 2's and Mistral's."""
    known = {word: number for number, word in enumerate([*SPACED, "</s>"])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="</s>"))
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    return tokenizer


def told(tokenizer: Any, before: list[int], tokens: list[int]) -> str:
    stream = Stream(tokenizer, before)
    return "".join(stream.step(token) for token in tokens)


def test_the_space_between_a_prompt_and_what_stands_behind_it_stays() -> None:
    tokenizer = spaced()
    assert tokenizer.decode([0, 1, 2, 3]) == "a b c d"
    assert told(tokenizer, [0, 1], [2, 3]) == " c d"
    assert told(tokenizer, [], [2, 3]) == "c d"
    assert told(tokenizer, [WORDS - 1], [2, 3]) == "c d", "nothing of a text stands before it"


@pytest.mark.parametrize("entry", [{"bytes": True}, {"merges": [["Ã", "©"], ["a", "b"]]}], ids=["bytes", "merges"])
def test_no_text_is_told_twice_or_lost_wherever_a_character_is_parted(entry: dict[str, Any]) -> None:
    tokenizer, rng = vocabulary.tokenizer(entry), random.Random(0)
    for _ in range(300):
        before = tokenizer.encode("".join(rng.choices("ab é日😀\ufffd", k=rng.randrange(12)))).ids
        tokens = tokenizer.encode("".join(rng.choices("ab é日😀", k=rng.randrange(1, 9)))).ids
        assert told(tokenizer, before, tokens) == tokenizer.decode(tokens)
        half = rng.randrange(len(tokens))
        found, rest = told(tokenizer, before + tokens[:half], tokens[half:]), tokenizer.decode(tokens[half:])
        assert found.lstrip(HALF) == rest.lstrip(HALF)


def test_a_completion_is_appended_and_a_message_stands_alone(tmp_path: Path, language_models: dict[str, Path]) -> None:
    numbers = {"kind": "tokens", "shape": [5], "vocabulary": WORDS}
    folder = made(tmp_path / "b", language_models["attending"], numbers)
    chat = "{% for m in messages %}{{ m.content }}{% endfor %}"
    about = {"ends": [WORDS - 1], "begins": None, "chat": chat, "tokenizer": json.loads(spaced().to_str())}
    (folder / "words.json").write_text(json.dumps(about))
    sealed(folder, json.loads((folder / "manifest.json").read_text()))
    tokens = text_by_hand("attending", [2, 0, 5, 4], PLACES - 4)
    text = " ".join("abcdefghij"[k] for k in tokens[: [*tokens, WORDS - 1].index(WORDS - 1)])
    assert text, "the check would be empty"
    with served(server.prepared(folder, 1, 1, PATIENT)) as client:
        for prompt in ("c a f e", [2, 0, 5, 4]):
            assert client.post("/v1/completions", {"prompt": prompt}).json["choices"][0]["text"] == f" {text}"
        said = client.post(CHAT, {"messages": [{"role": "user", "content": "c a f e"}]}).json
    assert said["choices"][0]["message"]["content"] == text
