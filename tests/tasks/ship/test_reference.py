"""A bundle says how often its program gave each class where it was judged."""

import json

import pytest

from tasks import paths
from tasks.params import Params
from tasks.records import Evaluation
from tasks.stages import bundle as stage
from tests.bundles import CLASSES


def evaluated(*answers: tuple[str, str, tuple[int, ...]]) -> None:
    """An evaluation of the variant int8, by split and kernels."""
    score = {"metric": "accuracy", "value": 0.5, "low": 0.4, "high": 0.6, "n": 4, "outputs_sha256": ""}
    scores = [{**score, "split": split, "kernels": kernels, "predictions": told} for split, kernels, told in answers]
    about = {"variant": "int8", "artifact_sha256": "", "runtime": "golden", "scores": scores}
    Evaluation.model_validate(about).save(paths.evaluation("int8"))


def reference(device: str) -> object:
    return json.loads((paths.bundle(device) / "manifest.json").read_text())["reference"]


@pytest.mark.usefixtures("ready")
def test_the_answers_on_the_validation_data_are_counted(params: Params) -> None:
    stage.bundle(params, "host-cpu")
    assert reference("host-cpu") is None
    evaluated(
        ("test", "default", (0, 0, 0, 0)),
        ("validation", "reference", (1, 1, 1, 3)),
        ("validation", "default", (2, 3, 3, 3)),
    )
    stage.bundle(params, "host-cpu")
    assert reference("host-cpu") == {"labels": dict(zip(CLASSES, (0, 0, 1, 3), strict=True))}
    stage.bundle(params, "ethos-u55-128")
    assert reference("ethos-u55-128") == {"labels": dict(zip(CLASSES, (0, 3, 0, 1), strict=True))}, "its own kernels"
