"""A disk that fills up on the device at each step of a shipment: it runs one complete bundle, and a line says which."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.errors import ShippingError
from tasks.ship import delivery
from tasks.ship.delivery import Cargo
from tasks.ship.targets import Target
from tests.shipping import AT_STEP, NEW, OLD, complete, python

MOUNT = 'mount -t tmpfs -o size=2m none "$0" && echo mounted && exec sleep 600'
FILL = "_fill(self.folder)"
FILLER = """
def _fill(folder):
    with open(folder / "filler", "wb") as file:
        try:
            while True:
                file.write(bytes(4096))
                file.flush()
        except OSError:
            pass
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """A file system of 2 MiB: how a command sees it, and where it is seen from here."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["unshare", "--mount", "sh", "-c", MOUNT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as holder:
        try:
            assert holder.stdout
            if holder.stdout.readline() != "mounted\n":
                pytest.skip("no hardware: the kernel lets nobody mount here")
            yield ("nsenter", "--mount", f"--target={holder.pid}"), Path(f"/proc/{holder.pid}/root{folder}")
        finally:
            holder.kill()


@pytest.mark.parametrize(
    "step",
    [
        *(pytest.param(step, marks=pytest.mark.slow) for step in ("uploading", "uploaded", "checked")),
        *(pytest.param(step, marks=pytest.mark.slow) for step in ("switching", "restarted")),
        "switched",
    ],
)
def test_a_full_disk_leaves_the_old_bundle_running(
    step: str,
    disk: tuple[tuple[str, ...], Path],
    cargoes: dict[str, Cargo],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "WINDOW_S", 0.0)
    within, seen = disk
    target = Target("host-cpu", None, str(tmp_path / "disk"), python(tmp_path, "", within=within), 1, 1.5)
    delivery.ship(target, cargoes[OLD])
    python(tmp_path, FILLER + AT_STEP.format(step=step, do=FILL), within=within)
    with pytest.raises(ShippingError, match=rf"the disk is full there: .*; it runs {OLD} ") as raised:
        delivery.ship(target, cargoes[NEW])
    assert raised.value.code == 30
    assert complete(seen, cargoes) == OLD
    assert json.loads((seen / "journal.json").read_text())["champions"][-1]["id"] == cargoes[OLD].id
    (tmp_path / "patch.py").write_text("")
    assert not delivery.status(target)["health"]  # it can be asked, though nothing can be written
    (seen / "filler").unlink()
    assert delivery.ship(target, cargoes[NEW]).id == cargoes[NEW].id
    assert complete(seen, cargoes) == NEW


def test_what_does_not_fit_is_not_begun(
    disk: tuple[tuple[str, ...], Path], cargoes: dict[str, Cargo], tmp_path: Path
) -> None:
    within, seen = disk
    target = Target("host-cpu", None, str(tmp_path / "disk"), python(tmp_path, "", within=within), 1, 1.5)
    (seen / "filler").write_bytes(bytes(1_500_000))
    with pytest.raises(ShippingError, match=r"the disk is full there: 0 MiB free, and 2 MiB needed; it runs nothing"):
        delivery.ship(target, cargoes[OLD])
    assert not list((seen / "incoming").iterdir())
