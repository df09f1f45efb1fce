"""How 100,000 images travel through an S3 store: in packed shards, and as files of their own.

The images are made here: small JPEGs of noise, by a seed. `tasks.examples.stores.pack`, which writes out/data, packs
all of them; the other set is a part of them as files. The store is SeaweedFS, as `tercet up` starts it, on this
machine.
Each set is pushed by `dvc push` from a project of its own, and pulled by `dvc pull` into a clone that has nothing but
the file that names it; what arrives must be the same bytes. The two take turns.

    python benchmarks/travel.py [--images 100000] [--files 10000] [--repeats 1] [--record FILE]

Takes some 2 GB of disk and, on two quiet cores, some minutes; all is deleted at the end. Goal: at most 200 objects.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from machine import record
from PIL import Image

from tasks.examples.stores import pack
from tasks.services import buckets, place, processes, s3

SEED, SIDE = 0, 16
CLASSES = 10
OBJECTS = 200  # that the packed set may be
LIMIT_S = 3600
SETS = ("packed", "files")


def image(number: int) -> bytes:
    """A JPEG of noise."""
    pixels = np.random.default_rng((SEED, number)).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    content = BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=80)
    return content.getvalue()


def make(folder: Path, images: int, files: int) -> None:
    """Write both sets."""
    (folder / "packed").mkdir(parents=True)
    names = [f"{number % CLASSES}/{number:06}.jpg" for number in range(images)]
    digests = [hashlib.sha256(image(number)).hexdigest() for number in range(images)]
    index = np.array(list(zip(digests, names, strict=True)), object)
    pack(folder / "packed", "images.csv", "images-{}.zip", index, lambda path, _: image(int(Path(path).stem)))
    for number, name in enumerate(names[:files]):
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image(number))


def digest(folder: Path) -> str:
    """Of all that lies in a folder."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(f"{path.relative_to(folder)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def dvc(project: Path, *words: str) -> dict[str, float]:
    """Run a command of DVC; its seconds, of the clock and of the processor."""
    before, start = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "dvc", *words]
    variables = {**os.environ, "DVC_SITE_CACHE_DIR": str(project / ".site")}
    done = subprocess.run(
        command, cwd=project, env=variables, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    took, after = time.perf_counter() - start, os.times()
    if done.returncode:
        raise SystemExit(f"dvc {' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return {"seconds": took, "processor_s": spent}


def project(folder: Path, at: place.Place, remote: str) -> Path:
    """An empty project whose remote is the store."""
    folder.mkdir()
    dvc(folder, "init", "--no-scm", "--quiet")
    dvc(folder, "config", "core.analytics", "false")
    dvc(folder, "config", "core.check_update", "false")
    dvc(folder, "remote", "add", "--default", "store", f"s3://dvc/{remote}")
    for key, value in {"endpointurl": s3.url(at), "region": buckets.REGION, "credentialpath": str(s3.keys(at))}.items():
        dvc(folder, "remote", "modify", "store", key, value)
    return folder


def travel(name: str, sets: Path, folder: Path, at: place.Place, turn: int) -> dict[str, Any]:
    """Push a set and pull it elsewhere; what that took, and how many objects and bytes it was."""
    remote = f"{name}-{turn}"
    there, here = (project(folder / f"{remote}-{end}", at, remote) for end in ("there", "here"))
    shutil.copytree(sets / name, there / name)
    figures: dict[str, Any] = {"add": dvc(there, "add", "--quiet", name), "push": dvc(there, "push", "--quiet")}
    figures |= stored(at, remote)
    shutil.copy(there / f"{name}.dvc", here)
    figures["pull"] = dvc(here, "pull", "--quiet")
    if digest(here / name) != digest(sets / name):
        raise SystemExit(f"{name}: what was pulled is not what was pushed")
    for each in (there, here):
        shutil.rmtree(each)
    print(f"{name}: {figures}", flush=True)
    return figures


def stored(at: place.Place, remote: str) -> dict[str, int]:
    """What the store holds of a remote."""
    store = buckets.client(s3.url(at), at.secrets["s3-key"], at.secrets["s3-secret"])
    pages = store.get_paginator("list_objects_v2").paginate(Bucket="dvc", Prefix=f"{remote}/")
    sizes = [each["Size"] for page in pages for each in page.get("Contents", ())]
    return {"objects": len(sizes), "bytes": sum(sizes)}


def measured(options: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Each set's turns, with the store up meanwhile."""
    made = folder / "sets"
    make(made, options.images, options.files)
    os.chdir(folder)
    at = place.made()
    s3.prepare(at)
    service = s3.service(at)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in SETS}
    try:
        processes.start(service)
        s3.settle(at)
        for turn in range(options.repeats):
            for name in SETS if turn % 2 == 0 else SETS[::-1]:
                found[name].append(travel(name, made, folder, at, turn))
    finally:
        processes.stop(service)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Images through an S3 store, packed and as files.")
    parser.add_argument("--images", type=int, default=100_000, help="of the packed set")
    parser.add_argument("--files", type=int, default=10_000, help="of them, of the set of files")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    record_at = options.record and options.record.absolute()
    with TemporaryDirectory(prefix="tercet-travel-", ignore_cleanup_errors=True) as folder:
        found = measured(options, Path(folder))
    seconds = {name: min(each["push"]["seconds"] + each["pull"]["seconds"] for each in found[name]) for name in SETS}
    scaled = seconds["files"] * options.images / options.files
    objects = found["packed"][0]["objects"]
    print(
        f"{options.images} images: packed, {objects} objects, pushed and pulled in {seconds['packed']:.1f} s; as files"
    )
    print(f"{options.files} took {seconds['files']:.1f} s; {options.images} would take {scaled:.0f} s, by their number")
    goals = {"at most 200 objects": objects <= OBJECTS}
    counts = {"packed": options.images, "files": options.files}
    record(record_at, images=counts, sets=found, files_scaled_s=scaled, goals=goals)


if __name__ == "__main__":
    main()
