"""Bundles to be shipped, a folder that is the device, and a Python there that can be made to fail at a given step."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tasks import files, paths
from tasks.params import Params
from tasks.records import Comparison, Energy, Latency, Measurement, ModelCard, Row
from tasks.ship import classify, delivery
from tasks.ship.delivery import Cargo, Delivered
from tasks.ship.targets import Target
from tasks.stages import bundle as stage
from tests.bundles import CLASSIFICATION, IMAGES, artifact_of, noise, prepared
from tests.phases import of_inference

OLD, NEW = "int8", "float32"  # variants
PYTHON = """#!{python} -I
import os, sys
boot, mark = sys.argv[3], '    sys.path[:0] = sent["site"]'
assert sys.argv[1:3] == ["-I", "-c"] and mark in boot
more = '    sent["sources"]["onboard.ship.{module}"] += open({patch}).read()'
command = {within!r} + [{python!r}, "-I", "-c", boot.replace(mark, more + chr(10) + mark)]
os.execvp(command[0], command)
"""
AT_STEP = """
_noted = Store.note
def _note(self, step, **more):
    _noted(self, step, **more)
    if step == {step!r}:
        {do}
Store.note = _note
"""
KILL_THERE, KILL_HERE = "os.kill(os.getpid(), 9)", "os.kill(os.getppid(), 9); time.sleep(0.2)"


def settings(**ship: Any) -> Params:
    """Two variants on this machine, and where their bundle goes."""
    variants = {name: {"model": "baseline", "scheme": name} for name in (OLD, NEW)}
    return Params.model_validate(
        {
            "name": "golden",
            "prepare": {"source": "digits"},
            "model": {"family": "cnn"},
            "train": {"epochs": 1},
            "compress": {},
            "quantize": variants,
            "benchmark": {"reference": NEW, "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
            "bundle": {"default": {"minimize": "latency_ms"}},
            "ship": ship,
        }
    )


def bundles(folder: Path) -> dict[str, Cargo]:
    """A bundle of each variant, whose files lie in `folder`; the working directory is a project that holds the last."""
    prepared(IMAGES, CLASSIFICATION, noise(24))
    made = {}
    ModelCard(
        model="baseline",
        parent=None,
        method="train",
        parameters=34,
        epochs=2,
        total_epochs=2,
        layers=(),
        history={"loss": (1.5, 0.7), "val_accuracy": (0.6, 0.8)},
    ).save(paths.model("baseline") / "card.json")
    for variant in (OLD, NEW):
        row = _row(variant, files.sha256(artifact_of(variant)))
        Comparison(name="golden", reference=variant, rows=(row,)).save(paths.REPORT / "comparison.json")
        stage.bundle(settings(), "host-cpu")
        shutil.copytree(paths.bundle("host-cpu"), folder / variant)
        made[variant] = loaded(folder / variant)
    return made


def _row(variant: str, digest: str) -> Row:
    """A pair that was measured to take a millisecond."""
    measured = {
        "variant": variant,
        "device": "host-cpu",
        "device_kind": "litert",
        "status": "ok",
        "mode": "quick",
        "artifact_sha256": digest,
        "latency": Latency(provenance="measured", ms_p50=1.0),
        "energy": Energy(kind="none", mj=None),
    }
    about = {"variant": variant, "device": "host-cpu", "model": "baseline", "scheme": variant, "total_epochs": 2}
    quality = {"metric": "accuracy", "quality": 0.97, "quality_low": 0.95, "quality_high": 0.98, "quality_n": 360}
    sizes = {"bytes": 1000, "gzip_bytes": 900, "validation_quality": 0.98, "paired": None}
    said = {"outcome": "not compared", "verdict": "as fast", "fronts": ("latency_ms",)}
    return Row(**about, **quality, **sizes, **said, measurement=Measurement(**of_inference(measured)))


def loaded(folder: Path) -> Cargo:
    """A bundle that lies in a folder of any name."""
    place = paths.bundle("host-cpu")
    if place != folder:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place)
    cargo = delivery.cargo("host-cpu", paths.bundle("host-cpu"), signed=False)
    return replace(cargo, bundle={name: folder / name for name in cargo.bundle})


def folder_of(cargo: Cargo) -> Path:
    """Where a bundle's files lie."""
    piece = cargo.bundle[classify.MANIFEST]
    assert isinstance(piece, Path)
    return piece.parent


def changed(folder: Path, change: Callable[[dict[str, Any]], None], more: dict[str, bytes]) -> Cargo:
    """A bundle with another manifest, or with more files, sealed again."""
    for name, content in more.items():
        (folder / name).write_bytes(content)
    manifest = json.loads((folder / classify.MANIFEST).read_text())
    for name, content in more.items():
        manifest["files"][name] = {"sha256": files.sha256(folder / name), "bytes": len(content)}
    change(manifest)
    files.write_json(folder / classify.MANIFEST, manifest)
    listed = {name: file["sha256"] for name, file in manifest["files"].items()}
    listed[classify.MANIFEST] = files.sha256(folder / classify.MANIFEST)
    lines = [f"{digest}  {name}\n" for name, digest in sorted(listed.items())]
    (folder / classify.SUMS).write_text("".join(lines), encoding="utf-8")
    return loaded(folder)


def python(folder: Path, patch: str, module: str = "store", within: tuple[str, ...] = ()) -> str:
    """A Python for the device, in which a module of the keeper's has more code."""
    (folder / "patch.py").write_text(patch)
    path = folder / "python"
    path.write_text(
        PYTHON.format(
            python=sys.executable, patch=json.dumps(str(folder / "patch.py")), module=module, within=list(within)
        )
    )
    path.chmod(0o755)
    return str(path)


def back(target: Target) -> Delivered:
    """Have one machine, which is a fleet, leave what it runs."""
    found = delivery.status(target, prove=False)["leaves"]
    return delivery.back(target, [found] if found else [])


def once(folder: Path, first: str, then: str) -> str:
    """A Python that is one for the two conversations of one shipment, and another one ever after."""
    path = folder / "once"
    path.write_text(
        f'#!/bin/sh\necho >>"$0.told"\n[ "$(wc -l <"$0.told")" -gt 2 ] || exec {first} "$@"\nexec {then} "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def failing(folder: Path, target: Target, step: str, do: str) -> Target:
    """The target with a Python that does something as soon as the journal says a step."""
    return replace(target, python=python(folder, AT_STEP.format(step=step, do=do)))


def complete(store: Path, cargoes: dict[str, Cargo]) -> str:
    """The variant that the device runs: every file of it is there, as it was shipped, and no other."""
    folder = store / (store / "current").readlink()  # not resolved: the disk may be another process's
    variant = next(name for name, cargo in cargoes.items() if cargo.id == folder.name)
    found = {path.relative_to(folder).as_posix(): path for path in files.below(folder)}
    assert found.keys() == cargoes[variant].bundle.keys()
    for name, piece in cargoes[variant].bundle.items():
        assert isinstance(piece, Path)
        assert found[name].read_bytes() == piece.read_bytes(), name
    return variant
