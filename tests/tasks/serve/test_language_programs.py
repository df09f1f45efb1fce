"""A decoder as programs of StableHLO behind HTTP writes what the runner writes by itself, room by room."""

import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench.runner import pjrt_language as runner
from tasks.bench.runner.prompts import roomy
from tasks.decoder import network
from tasks.params import Quantize
from tasks.quantize import language
from tasks.serve import server, speaker
from tests.serving import Client, bundle, served
from tests.tasks.quantize.test_programs import SPEC, WINDOW, WORDS
from tests.tasks.serve.test_language import PATIENT

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
LETTERS = string.ascii_letters[: WORDS - 1]  # the last token stands for all others, and ends a text
SMALL, ROOM = 8, 16
OPTIONS = {"platform": "cpu", "threads": 1, "asked": None}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras.utils.set_random_seed(0)
    model, rng = network.build(SPEC, WINDOW), np.random.default_rng(1)
    model.set_weights([rng.normal(w.ndim == 1, 0.2, w.shape) for w in model.get_weights()])
    path = tmp_path_factory.mktemp("programs") / language.PROGRAMS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language, "SMALLEST", SMALL)
        path.write_bytes(
            language.programs_of(model, Quantize(model="baseline", scheme="float32", prefill=[4], room=ROOM))
        )
    return path


@pytest.fixture(scope="module")
def client(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    entry = {"tokens": {"kind": "tokens", "shape": [WINDOW], "vocabulary": WORDS, "characters": LETTERS}}
    target = {"kind": "class", "classes": [*LETTERS, "?"]}
    folder = bundle(tmp_path_factory.mktemp("bundle") / "b", program, entry, target, "pjrt_language", OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NPROC", "1")
        with served(server.prepared(folder, 1, 1, PATIENT)) as client:
            yield client


@pytest.mark.parametrize("count", [25, pytest.param(1000, marks=pytest.mark.slow)])
def test_many_prompts_are_answered_as_the_runner_answers_them(
    client: Client, program: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPROC", "1")
    model, rng, texts = runner.Model(str(program), OPTIONS), np.random.default_rng(3), set()
    for _ in range(count):
        prompt = rng.integers(0, WORDS - 1, rng.integers(1, ROOM - 4)).astype(np.int32)
        (example,) = model.prepare({"tokens": prompt[None]})
        model.decoding(example, 4)
        tokens = [*model.decoded, WORDS - 1]
        told = client.post("/v1/completions", {"prompt": prompt.tolist(), "max_tokens": 4})
        texts.add(told.json["choices"][0]["text"])
        assert told.json["choices"][0]["text"] == "".join(LETTERS[k] for k in tokens[: tokens.index(WORDS - 1)])
    assert len(texts) > count // 2, "the check would be empty"


class Told:
    """Programs that tell which of them was called."""

    room = ROOM

    def __init__(self) -> None:
        self.about = {"programs": {name: {} for name in ("score_6", "decode", f"room_{SMALL}_decode", "prefill_4")}}
        self.held: dict[str, Any] = {}
        self.compiled: list[str] = []
        self.called: list[str] = []

    def program(self, name: str) -> None:
        self.compiled.append(name)

    def prepare(self, _columns: Any) -> list[Any]:
        return [None]

    def put(self, _example: Any) -> None: ...

    def invoke(self) -> None: ...

    def read(self) -> list[Any]:
        return [np.eye(WORDS)[0]]

    def place(self, **values: Any) -> dict[str, Any]:
        return values

    def at(self, name: str, places: int) -> str:
        return roomy(self.about["programs"], name, places)

    def call(self, name: str) -> dict[str, Any]:
        self.called.append(name)
        return {"token": [1]}


def test_a_step_reads_no_more_places_than_it_must_and_is_compiled_beforehand() -> None:
    model = Told()
    writer = speaker.Pjrt(model, lambda token: token)
    assert set(model.compiled) == {"decode", f"room_{SMALL}_decode", "prefill_4"}
    tokens = writer.tokens([0] * (SMALL - 2))
    assert [next(tokens) for _ in range(5)] == [0, 1, 1, 1, 1]
    assert model.called == [f"room_{SMALL}_decode"] * 2 + ["decode"] * 2
