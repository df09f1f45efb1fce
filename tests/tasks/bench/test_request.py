"""What is asked of a device: all that any kind reads of a file stands in a small record, so nobody makes up a card."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Questions, Request
from tasks.records import Runnable


@pytest.mark.parametrize("name", ["host-cpu", "roofline-raspberry-pi-4", "ethos-u55-128", "stm32h743"])
def test_a_kind_reads_no_more_of_a_file_than_a_device_must_know(
    pair: Callable[[str, str], Request],
    described: Callable[[str], Artifact],
    name: str,
    request: pytest.FixtureRequest,
) -> None:
    if name == "host-cpu":
        request.getfixturevalue("machine")  # whose figures are the same each time
    asked, whole = pair("int8", name), described("int8")
    card = Runnable(**{field: getattr(whole.card, field) for field in Runnable.model_fields})
    splits: Any = {} if name == "host-cpu" else {"test": Questions(asked.inputs)}
    measure, path = KINDS.load(asked.device.kind).measure, asked.artifact.path
    found, known = (
        measure(replace(asked, artifact=Artifact(each, path), splits=splits)) for each in (card, whole.card)
    )
    assert found.measurement.status == "ok"
    assert found.measurement.artifact_sha256 == whole.card.sha256
    assert (found.measurement.phases, found.measurement.memory) == (known.measurement.phases, known.measurement.memory)
    assert {split: each.sha256 for split, each in found.kept.items()} == {
        split: each.sha256 for split, each in known.kept.items()
    }
