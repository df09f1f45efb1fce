"""What a device has confirmed is what the registry serves: from a run to MLflow's own server, and back again."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.data import digits
from tasks.params import Prepare
from tests.serving import by_script, mlflow_serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ALIAS, BEFORE = "champion-host-cpu", "previous-host-cpu"
CHAMPION = f"models:/smoke@{ALIAS}"


def aliases(database: Path) -> dict[str, int]:
    """What the registry's aliases name, out of MLflow's own tables."""
    with closing(sqlite3.connect(database, timeout=60)) as connection:
        rows = connection.execute("SELECT alias, version FROM registered_model_aliases WHERE name = 'smoke'").fetchall()
    return {alias: int(version) for alias, version in rows if not alias.startswith("candidate-")}


def shipped_from(*variants: str) -> Callable[[dict[str, Any]], None]:
    """Of these variants the smallest file goes to a folder of this machine, however slow that is just now."""

    def change(params: dict[str, Any]) -> None:
        params["compress"] = {}
        params["quantize"] = {name: {"model": "baseline", "scheme": SCHEMES[name]} for name in variants}
        params["benchmark"]["devices"] = ["host-cpu"]
        params["bundle"] = {"default": {"minimize": "bytes"}}
        params["ship"] = {"host-cpu": {"folder": "device", "tolerance": 1000}}

    return change


SCHEMES = {"fp32": "float32", "int8": "int8"}


def test_the_registry_serves_what_the_device_runs(make_clone: Callable[[], Any], tmp_path: Path) -> None:
    clone = make_clone()
    database, device = clone.root / "mlflow.db", clone.root / "device"
    images = digits.load(Prepare.model_validate({"source": "digits"})).train.inputs["image"][:1000]
    np.save(tmp_path / "images.npy", images)

    def served() -> list[dict[str, Any]]:
        with mlflow_serving(database, CHAMPION) as ask:
            return [ask(image) for image in images.tolist()]

    def running() -> list[dict[str, Any]]:
        return by_script((device / "current").resolve(), tmp_path / "images.npy")

    clone.change(shipped_from("fp32"))
    clone.run("tercet", "run")
    assert aliases(database) == {}, "nothing has confirmed it"
    device.mkdir()
    (device / "restart").write_text("#!/bin/sh\nexit 3\n")
    (device / "restart").chmod(0o755)
    clone.run("tercet", "ship", "host-cpu", "--unsigned", code=33)
    assert aliases(database) == {}, "the device has refused it"
    (device / "restart").unlink()
    clone.run("tercet", "ship", "host-cpu", "--unsigned")
    old = aliases(database)
    assert old.keys() == {ALIAS}
    floats = running()
    assert len(floats) == 1000
    assert len({each["label"] for each in floats}) > 1
    assert served() == floats
    clone.change(shipped_from("fp32", "int8"))
    clone.run("tercet", "run")
    assert aliases(database) == old, "it is made, and nobody has confirmed it"
    clone.run("tercet", "ship", "host-cpu", "--unsigned")
    new = aliases(database)
    assert new[BEFORE] == old[ALIAS] != new[ALIAS]
    integers = running()
    assert integers != floats
    assert served() == integers
    said = clone.run("tercet", "ship", "--back", "host-cpu")
    assert f"MLflow: {ALIAS} is version {old[ALIAS]}, " in said
    assert aliases(database) == {ALIAS: old[ALIAS], BEFORE: new[ALIAS]}
    assert running() == floats
    assert served() == floats
