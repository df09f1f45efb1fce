"""Going back is one step from what the user sees: where a shipment was interrupted, to settle it is that step."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.errors import ShippingError
from tasks.ship import delivery
from tasks.ship.delivery import Cargo
from tasks.ship.targets import Target
from tests.shipping import KILL_THERE, NEW, OLD, back, changed, failing, folder_of

Cut = Callable[[str, Callable[[Target], object]], None]


@pytest.fixture
def target(project: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A folder that is the device."""
    monkeypatch.setattr(delivery, "WINDOW_S", 0.002)
    return Target("host-cpu", None, str(project / "store"), sys.executable, keep=2, tolerance=1.5)


@pytest.fixture
def third(cargoes: dict[str, Cargo], target: Target, tmp_path: Path) -> Cargo:
    """A bundle after the other two."""
    folder = Path(shutil.copytree(folder_of(cargoes[NEW]), tmp_path / "third"))
    return changed(folder, lambda manifest: None, {"README.txt": b"the third"})


@pytest.fixture
def cut(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cut:
    """Have the device lose its power at a step of something; nobody is there to settle it."""

    def run(step: str, do: Callable[[Target], object]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(delivery, "settle", lambda _: {"current": None, "champion": None, "turning": True})
            with pytest.raises(ShippingError, match="the connection was lost"):
                do(failing(tmp_path, target, step, KILL_THERE))
        assert delivery.status(target, prove=False)["turning"]

    return run


def champions(target: Target) -> list[str]:
    journal = json.loads(Path(target.folder, "journal.json").read_text())
    return [each["id"] for each in journal["champions"]]


@pytest.mark.parametrize("step", ["switching", "switched", "restarted", "returning"])
def test_back_from_an_interrupted_shipment_is_to_what_ran_before_it(
    step: str, target: Target, cargoes: dict[str, Cargo], third: Cargo, cut: Cut
) -> None:
    old, new = cargoes[OLD].id, cargoes[NEW].id
    for name in (OLD, NEW):
        delivery.ship(target, cargoes[name])
    if step == "returning":
        Path(target.folder, "restart").write_text("#!/bin/sh\nexit 3\n")
        Path(target.folder, "restart").chmod(0o755)
    cut(step, lambda dying: delivery.ship(dying, third))
    Path(target.folder, "restart").unlink(missing_ok=True)
    done = back(target)
    assert done.settled == f"a shipment of {third.id} was interrupted when it was {step}: {new} runs again"
    assert (done.id, done.about["variant"], done.proof) == (new, NEW, None)
    assert (delivery.status(target)["current"], champions(target)) == (new, [old, new])
    assert back(target).id == old  # the next step is one that the user asks for


def test_to_the_only_one_before_it_is_no_failure(target: Target, cargoes: dict[str, Cargo], cut: Cut) -> None:
    delivery.ship(target, cargoes[OLD])
    cut("switched", lambda dying: delivery.ship(dying, cargoes[NEW]))
    assert back(target).id == cargoes[OLD].id
    with pytest.raises(ShippingError, match="no bundle is here that ran before"):
        back(target)


def test_an_older_one_that_is_shipped_again_and_interrupted_is_left_as_well(
    target: Target, cargoes: dict[str, Cargo], cut: Cut
) -> None:
    for name in (OLD, NEW):
        delivery.ship(target, cargoes[name])
    cut("switched", lambda dying: delivery.ship(dying, cargoes[OLD]))
    assert back(target).id == cargoes[NEW].id


@pytest.mark.parametrize("step", ["switching", "switched", "restarted"])
def test_a_step_back_that_was_interrupted_is_taken_by_the_next_one(
    step: str, target: Target, cargoes: dict[str, Cargo], cut: Cut
) -> None:
    for name in (OLD, NEW):
        delivery.ship(target, cargoes[name])
    cut(step, back)
    done = back(target)
    assert (done.id, champions(target)) == (cargoes[OLD].id, [cargoes[OLD].id])
    assert done.settled is not None
    assert done.proof is not None


def test_who_does_not_run_what_is_left_stays(target: Target, cargoes: dict[str, Cargo], third: Cargo) -> None:
    for name in (OLD, NEW):
        delivery.ship(target, cargoes[name])
    before = Path(target.folder, "current").lstat().st_ino
    done = delivery.back(replace(target), [third.id])
    assert (done.id, done.proof, done.settled) == (cargoes[NEW].id, None, None)
    assert Path(target.folder, "current").lstat().st_ino == before
    assert champions(target) == [cargoes[OLD].id, cargoes[NEW].id]
