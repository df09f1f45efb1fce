"""What a bundle is made of: golden files as artifacts, and prepared data of which it has examples."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tasks import files, paths
from tasks.examples import Arrays, dataset, preprocess
from tasks.quantize.litert import inspect
from tasks.records import ArtifactCard, Comparison, Program, Row, read

GOLDEN = Path(__file__).parent / "golden"
CLASSES = ["north", "east", "söuth", "west"]
IMAGES = {"image": {"kind": "image", "shape": [8, 8, 1], "mean": [0.0], "scale": [255.0]}}
CLASSIFICATION = {"kind": "class", "classes": CLASSES}


def artifact_of(variant: str, golden: str | None = None) -> Path:
    """A golden file with its card, as `quantize` would have left them; the file's path."""
    path = paths.artifact(variant) / "model.tflite"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(GOLDEN / f"{golden or variant}.tflite", path)
    program, stablehlo = GOLDEN / f"{golden or variant}.stablehlo", None
    graph = inspect(path.read_bytes())
    if program.exists():
        shutil.copyfile(program, path.with_suffix(".stablehlo"))
        names = {side: [tensor.name for tensor in getattr(graph, side)] for side in ("inputs", "outputs")}
        stablehlo = Program(file="model.stablehlo", sha256=files.sha256(program), bytes=program.stat().st_size, **names)
    ArtifactCard(
        variant=variant,
        model="baseline",
        scheme=variant,
        file=path.name,
        sha256=files.sha256(path),
        bytes=path.stat().st_size,
        gzip_bytes=1,
        inputs=graph.inputs,
        outputs=graph.outputs,
        operators=graph.operators,
        converter="golden",
        stablehlo=stablehlo,
    ).save(path.with_name("card.json"))
    return path


def prepared(inputs: dict[str, Any], target: dict[str, Any], raw: Any, labels: Any = None) -> None:
    """Data of one input or several as `prepare` would have left it: the split that a bundle's examples are of."""
    described = {"schema_version": preprocess.SCHEMA_VERSION, "inputs": inputs, "targets": {"label": target}}
    files.write_json(paths.DATA / "preprocess.json", described)
    given = raw if isinstance(raw, dict) else {next(iter(inputs)): raw}
    count = len(next(iter(given.values())))
    truth = np.arange(count) % 2 if labels is None else labels
    shutil.rmtree(paths.DATA / "validation", ignore_errors=True)
    dataset.save(paths.DATA / "validation", Arrays(given, {"label": truth}))
    about = {"source": "golden", "kind": "noise", "counts": {"validation": count}, "origin": {"noise.npy": "0" * 64}}
    files.write_json(paths.DATA / "card.json", about | {"seed": 0, "sha256": {}})


def champion(golden: str, variant: str = "int8") -> None:
    """Make another golden file a variant's artifact, and the one that was measured on every device."""
    digest = files.sha256(artifact_of(variant, golden))
    report = paths.REPORT / "comparison.json"
    known = read(Comparison, report)

    def changed(row: Row) -> Row:
        measured = row.measurement.model_copy(update={"artifact_sha256": digest})
        return row.model_copy(update={"measurement": measured} if row.variant == variant else {})

    known.model_copy(update={"rows": tuple(map(changed, known.rows))}).save(report)


def noise(count: int) -> "np.ndarray":
    """Images with noise in some quarters, so that the classes differ."""
    rng = np.random.default_rng(0)
    lit = rng.integers(0, 2, (count, 2, 2, 1)).repeat(4, axis=1).repeat(4, axis=2)
    return (rng.integers(0, 256, (count, 8, 8, 1)) * lit).astype(np.uint8)
