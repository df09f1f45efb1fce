"""How far apart two runtimes may answer, by numbers that are known to be right or wrong."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.bench import devices, judging, same_answers
from tasks.bench.request import Artifact, Request
from tasks.errors import UnsupportedError
from tasks.params import Protocol
from tasks.records.metrics import Kept

Check = Callable[[np.ndarray, np.ndarray], None]


@pytest.fixture
def check(described: Callable[[str], Artifact], monkeypatch: pytest.MonkeyPatch) -> Check:
    """What becomes of answers by LiteRT and by another runtime."""
    artifact = described("float32")
    request = Request(artifact, artifact, devices.load("host-cpu"), Protocol(mode="quick"), Path("inputs.npz"))

    def run(wanted: np.ndarray, given: np.ndarray) -> None:
        def kept(_artifact: Artifact, _asked: Any, setup: Any) -> tuple[Kept, dict[str, Any]]:
            values = given if setup.runtime == "other" else wanted
            return Kept(values, len(values), "0" * 64), {}

        monkeypatch.setattr(judging, "kept", kept)
        same_answers.check(request, SimpleNamespace(runtime="other"))  # type: ignore[arg-type]  # nothing else is asked

    return run


@pytest.mark.parametrize(("about", "width"), [(2000, 1.0), (101_325, 30.0), (-0.3, 0.0)])
def test_floats_may_be_rounded_to_their_neighbours_however_little_they_spread(
    check: Check, about: float, width: float
) -> None:
    """As years, a pressure in pascals, and what a network without life answers to anything."""
    wanted = (about + width * np.random.default_rng(0).normal(size=(64, 1))).astype(np.float32)
    check(wanted, np.nextafter(wanted, np.float32(np.inf)))
    with pytest.raises(UnsupportedError, match="other does not compute what the file says"):
        check(wanted, wanted * np.float32(1 + 1e-5))


def test_the_spread_says_how_far_apart_sums_in_another_order_may_be(check: Check) -> None:
    wanted = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    check(wanted, wanted * np.float32(1 + 0.9e-4))
    with pytest.raises(UnsupportedError, match=r"float32 allows 0\.0001"):
        check(wanted, wanted * np.float32(1 + 1.5e-4))
