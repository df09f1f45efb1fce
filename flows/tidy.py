"""What an earlier params.yaml has left under `out/`: nobody else says that it is of no use any more."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks import files, paths
from tasks.params import Params

SHOWN = 3  # of what is left, by name


def tidy(params: Params) -> None:
    """Remove the bundles of devices that `params` does not name, so that none is shipped; tell what else is left.

    The rest hurts nobody and is a way back: DVC restores a bundle from its cache when its device is named again. What
    somebody has put beside them stays: a file, and a copy of a bundle under another name.
    """
    for bundle in sorted(filter(_is_own, _others(paths.BUNDLES, params.benchmark.devices))):
        shutil.rmtree(bundle)
        print(f"removed {bundle}: params.yaml does not name the device any more", file=sys.stderr)
    if found := sorted(left(params)):
        names = ", ".join(map(str, found[:SHOWN])) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
        print(f"left of an earlier params.yaml, and used by nothing: {names}; they may be deleted", file=sys.stderr)


def _is_own(bundle: Path) -> bool:
    """Whether it is a folder, and of the device that it is named by: one without a manifest is of nobody else."""
    return bundle.is_dir() and (files.read_json(bundle / "manifest.json") or {}).get("device") in (None, bundle.name)


def left(params: Params) -> Iterator[Path]:
    """Models, artifacts, evaluations, measurements and begun trainings of what `params` does not name."""
    devices = params.benchmark.devices
    yield from _others(paths.MODELS, {*params.baselines, *params.compress})
    yield from _others(paths.ARTIFACTS, params.quantize)
    yield from _others(paths.EVALUATIONS, {*params.quantize, paths.yardstick("any").parent.name})
    yield from _others(paths.yardstick("any").parent, params.yardstick)
    yield from _others(paths.BENCHMARKS, {f"{variant}@{device}" for variant in params.quantize for device in devices})
    yield from _others(paths.OUT / "fingerprints", devices)
    trained = {f"compress.{name}" for name in params.compress} | {f"quantize.{name}" for name in params.quantize}
    yield from _others(paths.CHECKPOINTS, trained | {"train", *(f"train.{name}" for name in params.baselines)})


def _others(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """What lies in a folder under other names; what is hidden is on its way there."""
    known = set(names)
    for path in folder.iterdir() if folder.is_dir() else ():
        if not path.name.startswith(".") and (path.name if path.is_dir() else path.stem) not in known:
            yield path
