"""What a token reads is counted by hand, and held against what the memory gives."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench import bound, devices, transport
from tasks.bench.answers import Answer
from tasks.bench.kinds import litert
from tasks.bench.request import Artifact, Request
from tasks.bench.runner import memory
from tasks.bench.setup import Setup
from tasks.errors import DeviceError
from tasks.formats import cost, tflite
from tasks.params import Protocol
from tasks.quantize import signatures
from tasks.records import Latency, Phase
from tests.language import PLACES, WIDTH, WORDS

FLOAT = 4  # bytes
CACHE, HEAD, TABLE, ROW = (FLOAT * n for n in (PLACES * WIDTH, WIDTH * WORDS, WORDS * WIDTH, WIDTH))


class Silent:
    """A machine without the memory for it."""

    def run(self, *_: Any, **__: Any) -> Answer:
        raise DeviceError("MemoryError: cannot allocate 256 MiB")


class Session:
    """Says how fast its memory is."""

    def __init__(self, gb_s: float | None) -> None:
        self.gb_s = gb_s

    def run(self, request: dict[str, Any], *_: Any, **__: Any) -> Answer:
        assert request["action"] == "bandwidth"
        return Answer("ok", None, {}, read_gb_s=self.gb_s)


@pytest.fixture
def asked(language_models: dict[str, Path], described: Callable[[str], Artifact]) -> Request:
    path = language_models["attending"]
    calls = signatures.read(tflite.load(path))
    update = {"inputs": signatures.language("own", calls)[:1], "signatures": calls}
    one = Artifact(described("float32").card.model_copy(update=update), path)
    return Request(one, one, devices.load("host-cpu"), Protocol(mode="quick"), Path("inputs.npz"))


def setup(request: Request, session: Any) -> Setup:
    return litert.setup(request.device, session)


def phases(ms: float) -> Mapping[str, Phase]:
    return {"decode": Phase(unit="token", latency=Latency(provenance="measured", ms_p50=ms), details={"other": 1})}


def test_a_token_reads_the_head_the_cache_and_its_own_row(language_models: dict[str, Path]) -> None:
    found = cost.reads(language_models["attending"], "decode", ["cache"])
    assert HEAD + CACHE + ROW <= found < HEAD + CACHE + TABLE


def test_halves_that_are_widened_are_read_as_what_they_become(golden: Path) -> None:
    whole, half, byte = (
        cost.reads(golden / f"{name}.tflite", "serving_default", []) for name in ("float32", "float16", "int8")
    )
    assert half == whole
    assert whole / 4 < byte < whole / 3  # a scale for each channel, and wide biases


@pytest.mark.parametrize(("gb_s", "limit"), [(1.0, "bandwidth"), (1.6, "bandwidth"), (2.0, "compute"), (0.5, "caches")])
def test_what_limits_a_token_is_its_share_of_what_the_memory_gives(asked: Request, gb_s: float, limit: str) -> None:
    count = cost.reads(asked.artifact.path, "decode", ["cache"])
    found = bound.told(asked, setup(asked, Session(gb_s)), phases(count / 1e6))["decode"].details
    expected = {"other": 1, "bytes_read": count, "read_gb_s": 1.0, "memory_gb_s": gb_s, "bound": limit}
    assert found == pytest.approx(expected)


def test_nothing_is_told_of_what_is_not_known(asked: Request) -> None:
    given = phases(1.0)
    assert bound.told(asked, setup(asked, Session(None)), given) == given
    assert bound.told(asked, setup(asked, Silent()), given) == given
    assert bound.told(asked, replace(setup(asked, None), offloads=True), given) == given
    assert bound.told(asked, setup(asked, None), {"infer": Phase()}) == {"infer": Phase()}


def test_memory_is_read_as_fast_as_a_memory_can_be(asked: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = transport.Local().run({**setup(asked, None).ask("bandwidth", asked.artifact)}, {}, {}, timeout_s=60)
    assert answer.status == "ok"
    assert answer.read_gb_s
    assert 0.2 < answer.read_gb_s < 2000
    monkeypatch.setattr(memory, "BYTES", 2**20)
    monkeypatch.setattr(memory, "_seconds", lambda pool, parts: len(parts) * 1e-3)
    assert memory.read_gb_s(2) == pytest.approx(2**20 / 2e-3 / 1e9)
    assert np.isfinite(memory.read_gb_s(1))
