"""Champions in MLflow's registry: aliases move when told, and what they name is served with raw inputs."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tasks import files, track
from tasks.errors import DataError, TrackingError
from tasks.serve import server as services
from tasks.serve.app import Limits
from tests.bundles import GOLDEN, noise
from tests.serving import WAIT_S, bundle, by_script, mlflow_serving, served

if TYPE_CHECKING:
    import mlflow

NAME = "digits-cnn"
BY_MLFLOW = """
import json, sys
import mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(json.load(open(sys.argv[2])))))
print("OURS", [name for name in sys.modules if name.partition(".")[0] in ("tasks", "flows")])
"""


@pytest.fixture
def project(project: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copyfile(database, "mlflow.db")
    return project


def client(project: Path) -> "mlflow.MlflowClient":
    import mlflow

    uri = f"sqlite:///{project}/mlflow.db"
    return mlflow.MlflowClient(uri, uri)


def aliases(project: Path) -> dict[str, str]:
    return {name: str(v) for name, v in client(project).get_registered_model(NAME).aliases.items()}


def test_the_alias_moves_when_told_and_goes_back(project: Path) -> None:
    old, new = bundle(project / "old"), bundle(project / "new", GOLDEN / "int8.tflite", variant="int8")
    first = track.promote(old, NAME)
    assert (first.version, first.previous, aliases(project)) == ("1", None, {"champion-here": "1"})
    assert track.promote(old, NAME) == first
    second = track.promote(new, NAME)
    assert (second.version, second.previous) == ("2", "1")
    assert aliases(project) == {"champion-here": "2", "previous-here": "1"}
    back = track.promote(old, NAME)
    assert (back.version, aliases(project)) == ("1", {"champion-here": "1", "previous-here": "2"})
    again = track.reinstate(files.sha256(new / "SHA256SUMS"), "here", NAME)
    assert (again.version, aliases(project)) == ("2", {"champion-here": "2", "previous-here": "1"})
    with pytest.raises(DataError, match=f"no version holds the bundle {'0' * 16}, which here runs again"):
        track.reinstate("0" * 64, "here", NAME)
    track.promote(old, NAME)
    elsewhere = bundle(project / "elsewhere", device="there")
    assert track.promote(elsewhere, NAME).version == "3"
    assert aliases(project) == {"champion-here": "1", "previous-here": "2", "champion-there": "3"}


def test_a_damaged_bundle_or_a_server_that_is_away_moves_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track.promote(bundle(project / "good"), NAME)
    bad = bundle(project / "bad", GOLDEN / "int8.tflite")
    (bad / "preprocess.py").write_text("")
    with pytest.raises(DataError, match=r"not as it was shipped: preprocess\.py"):
        track.promote(bad, NAME)
    assert aliases(project) == {"champion-here": "1"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:1"):
        track.promote(bundle(project / "other"), NAME)


def test_what_is_registered_needs_nothing_of_ours_and_no_pickle(project: Path) -> None:
    made = bundle(project / "b")
    track.promote(made, NAME)
    images = noise(12)
    Path("images.json").write_text(json.dumps(images.tolist()))
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db"}
    command = [sys.executable, "-P", "-c", BY_MLFLOW, f"models:/{NAME}@champion-here", "images.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    told, ours = done.stdout.splitlines()[-2:]
    assert ours == "OURS []"
    np.save("images.npy", images)
    assert json.loads(told) == by_script(made, Path("images.npy"))
    kept = [path for path in Path("mlartifacts").rglob("*") if path.is_file()]
    assert any(path.name == "served.py" for path in kept)
    assert not [path for path in kept if path.suffix in (".pkl", ".pickle") or _is_pickle(path)]


def _is_pickle(path: Path) -> bool:
    content = path.read_bytes()
    return content[:1] == pickle.PROTO and content[-1:] == pickle.STOP


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["float32", "int8"])
def test_mlflows_server_and_ours_answer_a_thousand_inputs_as_the_runner_does(project: Path, variant: str) -> None:
    made = bundle(project / "b", GOLDEN / f"{variant}.tflite", variant=variant)
    track.promote(made, NAME)
    images = noise(1000)
    np.save("images.npy", images)
    expected = by_script(made, Path("images.npy"))
    assert len({each["label"] for each in expected}) > 1
    with served(services.prepared(made, 1, 1, Limits(seconds=WAIT_S))) as ours:
        told = [ours.predict(image).json["predictions"][0] for image in images.tolist()]
    assert [{name: each[name] for name in expected[0]} for each in told] == expected
    with mlflow_serving(project / "mlflow.db", f"models:/{NAME}@champion-here") as ask:
        assert [ask(image) for image in images.tolist()] == expected
