"""Tens of thousands of JPEG files: the memory of the stages that read them, and how fast they are learnt from.

An archive of images is prepared into packed shards, learnt from and evaluated, each stage in a process of its own whose
largest memory is read. Then one small network is fitted twice, by `tasks.training.fit` from the shards, and by
`model.fit` from a pipeline of tf.data as TensorFlow's guide "Load and preprocess images" has it, on the same images as
files: read, decode, scale, shuffle, batch, prefetch. Both take turns, epoch by epoch, in one process. What is decoded
once is decoded before the first epoch, which is left out with all that it compiles: its seconds are told beside, and
the guide's pipeline is measured with its `cache` too.

    python benchmarks/images.py ARCHIVE FOLDER [--limit N] [--epochs 3] [--record FILE]

ARCHIVE is `cifar10-jpeg.tar.xz` or another of folders `train` and `test` of classes. Takes some ten minutes on two
cores. Goals: memory under 3 GiB, throughput at least that of tf.data, at most 200 objects in out/data. Seen: README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from threading import Semaphore
from typing import Any

import numpy as np
import yaml
from fitting import CLOCKS, turns
from machine import ROOT, environment, record

from tasks import files, paths
from tasks.examples import dataset
from tasks.examples.dataset import LABEL
from tasks.examples.files import Files, held
from tasks.models import cnn
from tasks.params import Cnn, Training
from tasks.training import fit

MEMORY_KIB, OBJECTS = 3 * 2**20, 200
STAGE_S = 3600
STAGE = """
import resource, sys
from pathlib import Path
from tasks.stages import call
call(*sys.argv[1:])
lines = Path("/proc/self/status").read_text().splitlines()
own = next(line for line in lines if line.startswith("VmHWM")).split()[1]
print(max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""
NETWORK = {"family": "cnn", "filters": [8, 16], "dense": [32]}  # so small that reading is much of an epoch
BATCH = 128
WORKLOAD = {
    "name": "many-images",
    "prepare": {"source": "folder", "normalize": "standard"},
    "model": NETWORK,
    "train": {"epochs": 1, "batch_size": BATCH},
    "compress": {},
    "quantize": {"fp32": {"model": "baseline", "scheme": "float32"}},
    "benchmark": {"reference": "fp32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
    "bundle": {},
}


def stage(project: Path, *words: str) -> dict[str, float]:
    """The seconds of a stage in a process, and the largest memory of that or of one that it starts, in KiB."""
    start, command = time.perf_counter(), [sys.executable, "-c", STAGE, *words]
    variables = {**environment(ROOT), "MLFLOW_TRACKING_URI": ""}
    run = subprocess.run(
        command, cwd=project, env=variables, stdout=subprocess.PIPE, text=True, timeout=STAGE_S, check=True
    )
    found = {"seconds": time.perf_counter() - start, "memory_kib": int(run.stdout.split()[-1])}
    print(f"{' '.join(words)}: {found['seconds']:.0f} s, {found['memory_kib'] / 2**20:.2f} GiB", flush=True)
    return found


def prepared(archive: Path, folder: Path, limit: int | None) -> tuple[Path, dict[str, Any]]:
    """A project whose data are prepared, learnt from and evaluated, and what each stage took."""
    project = folder / "project"
    project.mkdir(parents=True, exist_ok=True)
    text = {**WORKLOAD, "prepare": {**WORKLOAD["prepare"], "path": str(archive.resolve()), "limit": limit}}  # type: ignore[dict-item]  # of YAML
    (project / paths.PARAMS).write_text(yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
    took = {name: stage(project, *name.split()) for name in ("prepare", "train", "quantize fp32", "evaluate fp32")}
    written = [path for path in (project / paths.DATA).rglob("*") if path.is_file()]
    counts = json.loads((project / paths.DATA / "card.json").read_text(encoding="utf-8"))["counts"]
    print(
        f"{counts}: {len(written)} objects, {sum(path.stat().st_size for path in written) / 2**20:.1f} MiB", flush=True
    )
    return project, {"stages": took, "objects": len(written), "counts": counts}


def unpacked(archive: Path, folder: Path, train: Files) -> list[str]:
    """The training images as files of their own, for tf.data: their paths, in the order of the examples."""
    place = folder / "files"
    if not place.exists():
        with files.replaced_folder(place) as new, tarfile.open(archive) as packed:
            packed.extractall(new, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # from 3.11.4 on
    start = f"{archive.resolve().as_posix()}/"
    return [str(place / path.removeprefix(start)) for _, path in train.index]


def plain(names: list[str], train: Files, *, cached: bool) -> Any:
    """The guide's pipeline, of model-ready images and labels."""
    import tensorflow as tf

    entry = train.entry or {}
    mean, scale = (np.asarray(entry[key], np.float32) for key in ("mean", "scale"))

    def read(name: Any, label: Any) -> Any:
        image = tf.io.decode_jpeg(tf.io.read_file(name), channels=train.shape[-1])
        return (tf.cast(tf.ensure_shape(image, train.shape), tf.float32) - mean) / scale, label

    found = tf.data.Dataset.from_tensor_slices((names, train.targets[LABEL]))
    if cached:
        found = found.map(read, num_parallel_calls=tf.data.AUTOTUNE).cache().shuffle(1000, seed=0)
    else:
        found = found.shuffle(len(names), seed=0).map(read, num_parallel_calls=tf.data.AUTOTUNE)
    return found.batch(BATCH).prefetch(tf.data.AUTOTUNE)


def fits(train: Files, names: list[str], epochs: int, *, cached: bool) -> dict[str, list[dict[str, float]]]:
    """The seconds of each epoch but the first, of both sides."""
    import tf_keras as keras

    fit.reset(0)
    params, few = Training(epochs=epochs + 1, batch_size=BATCH), train.take(np.arange(BATCH))
    first, second = Semaphore(1), Semaphore(0)
    ours, theirs = turns(first, second, deterministic=True), turns(second, first, deterministic=False)
    models = [cnn.build(Cnn.model_validate(NETWORK), dataset.spec()) for _ in range(2)]

    def by_guide() -> None:
        network, pipeline = models[1], plain(names, train, cached=cached)
        network.compile(keras.optimizers.Adam(params.learning_rate), "sparse_categorical_crossentropy", ["accuracy"])
        judged = few.arrays()
        network.fit(
            pipeline,
            epochs=params.epochs,
            validation_data=(next(iter(judged.inputs.values())), judged.targets[LABEL]),
            verbose=0,
            callbacks=[theirs],
        )

    sides: list[Callable[[], Any]] = [
        lambda: fit.fit(models[0], train, few, params, label="fit", callbacks=[ours]),
        by_guide,
    ]
    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(side) for side in sides]:
            job.result()
    return {"fit": ours.epochs[1:], "plain": theirs.epochs[1:]}


def compared(seconds: dict[str, list[dict[str, float]]], count: int, what: str) -> dict[str, Any]:
    """Images a second of each epoch, by both clocks, and the ratios of throughputs: above 1, ours is the faster."""
    found: dict[str, Any] = {}
    for clock in CLOCKS:
        speeds = {side: [count / epoch[clock] for epoch in epochs] for side, epochs in seconds.items()}
        ratios = [mine / other for mine, other in zip(speeds["fit"], speeds["plain"], strict=True)]
        found[clock] = {"images_per_s": speeds, "ratios": ratios, "ratio": median(ratios)}
        told = ", ".join(f"{side} {median(values):.0f}" for side, values in speeds.items())
        print(f"{what}, {clock} time: {told} images/s; ratio {median(ratios):.3f}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and throughput of the stages on many JPEG files.")
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path, help="where the project and the files are made")
    parser.add_argument("--limit", type=int, help="at most so many images in each split, for trying out")
    parser.add_argument("--epochs", type=int, default=3, help="of each side, beside the first")
    parser.add_argument("--record", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    target = options.record.resolve() if options.record else None
    archive, folder = options.archive.resolve(), options.folder.resolve()
    project, found = prepared(archive, folder, options.limit)
    os.chdir(project)
    train = dataset.load("train")
    assert isinstance(train, Files), "packed images are files"
    names = unpacked(archive, folder, train)
    start = time.perf_counter()
    held(train)
    decoding = time.perf_counter() - start
    print(f"decoding {len(train)} images once: {decoding:.1f} s", flush=True)
    throughput = {
        name: compared(fits(train, names, options.epochs, cached=cached), len(train), name)
        for name, cached in {"tf.data": False, "tf.data with cache": True}.items()
    }
    most = max(each["memory_kib"] for each in found["stages"].values())
    goals = {
        "memory under 3 GiB": most < MEMORY_KIB,
        "at most 200 objects": found["objects"] <= OBJECTS,
        "throughput of tf.data": throughput["tf.data"]["wall"]["ratio"] >= 1,
    }
    print(*(f"{'met' if met else 'MISSED'}: {goal}" for goal, met in goals.items()), sep="\n")
    record(target, **found, decoding_s=decoding, throughput=throughput, goals=goals)
    raise SystemExit(not all(goals.values()))


if __name__ == "__main__":
    main()
