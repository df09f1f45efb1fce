"""The folder on a device by itself: what is in it when its keeper is ended between two changes."""

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from tasks import files
from tasks.ship.device import incoming, store
from tasks.ship.device.incoming import FullError, Incoming, OutsideError
from tasks.ship.device.store import CURRENT, Store


class EndedError(Exception):
    """A kill, at one place."""


@pytest.fixture
def device(tmp_path: Path) -> Store:
    """Three bundles were confirmed, the last of which runs."""
    found = Store(tmp_path)
    for name in ("one", "two", "three"):
        (found.bundle(name) / "runner").mkdir(parents=True)
        found.lay(name, CURRENT)
        found.confirm({"id": name}, found.journal["champions"])
    return found


def test_a_bundle_that_is_half_gone_is_not_gone_back_to(device: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(path: Path) -> None:
        (path / "runner").rmdir()
        raise EndedError

    with monkeypatch.context() as patch:
        patch.setattr(store, "remove", ended)
        with pytest.raises(EndedError):
            device.prune(0)
    after = Store(device.folder)
    assert (after.current, after.former()) == ("three", None)
    after.prune(0)  # what is left over goes the next time
    assert [path.name for path in (device.folder / "bundles").iterdir()] == ["three"]


def test_a_bundle_is_never_without_the_packages_that_it_had(device: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (device.folder / "packages" / name for name in ("old", "new"))
    for each in (old, new):
        each.mkdir(parents=True)
    device.give("one", old)
    assert device.site("one") == [str(old)]

    def ended(*_: object) -> None:
        raise EndedError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", ended)
        with pytest.raises(EndedError):
            device.give("one", new)
    assert device.site("one") == [str(old)]
    device.give("one", new)
    assert device.site("one") == [str(new)]


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "", ".", "0" * 63, "0" * 63 + "G", "0" * 64 + "\n"])
def test_what_is_brought_is_named_by_its_digest_alone(device: Store, name: str) -> None:
    arriving = Incoming(device)
    with pytest.raises(OutsideError, match="is no SHA-256"):
        arriving.there({name: 1})
    arriving.there({})
    with pytest.raises(OutsideError, match="is no SHA-256"):
        arriving.lay_out("bundle", {"model.tflite": name})
    with pytest.raises(OutsideError, match="is no SHA-256"):
        arriving.unpack(name)


def sent(arriving: Incoming) -> str:
    """An archive of one module that has come; its digest."""
    arriving.there({})
    with tarfile.open(arriving.folder / "made", "w:gz") as archive:
        archive.add(__file__, "module.py")
    digest = files.sha256(arriving.folder / "made")
    (arriving.folder / "made").rename(arriving.folder / digest)
    return digest


def test_packages_that_do_not_fit_are_not_begun(device: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    arriving = Incoming(device)
    digest = sent(arriving)
    least = 4 * (arriving.folder / digest).stat().st_size + 2**20
    usage = shutil.disk_usage(device.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=least - 1))
    with pytest.raises(FullError, match=r"^the disk is full there: 1 MiB free, and 2 MiB needed$"):
        arriving.unpack(digest)
    assert not (device.folder / "packages").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=least))
    assert arriving.unpack(digest).is_dir()


def test_packages_have_their_name_once_the_disk_holds_them(device: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    arriving = Incoming(device)
    digest = sent(arriving)
    named: list[bool] = []
    monkeypatch.setattr(os, "sync", lambda: named.append((device.folder / "packages" / digest[:16]).exists()))
    assert (arriving.unpack(digest) / "module.py").read_bytes() == Path(__file__).read_bytes()
    assert named == [False]
    assert incoming.digest(arriving.folder / digest) == digest
