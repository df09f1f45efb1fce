"""A bundle: a folder that classifies raw inputs with nothing but numpy and the runtime."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks import files, paths
from tasks.bench import devices, shipping
from tasks.bench.request import Made, made_in
from tasks.errors import DataError, UnsupportedError
from tasks.examples import images, preprocess
from tasks.params import Budget
from tasks.records import Row
from tasks.records.figures import Value, known
from tasks.ship import classify, examples, litertlm, words
from tasks.ship.champion import Choice
from tasks.ship.manifest import Examples, File, Found, Manifest, Program, Quality

README = """\
{name}: {row.variant} for {row.device}.
Install: pip install numpy {packages} (Python 3.11 or later).
Classify: python classify.py INPUT; `python classify.py --help` says what INPUT may be. It checks every file first.
Check: `python classify.py --check` answers the examples in this folder and tells whether they come out as expected.
{runs}
{also}\
manifest.json holds the budget, the figures, their provenance and the program that they are of; SHA256SUMS the digest of
every file (`sha256sum -c SHA256SUMS`): against damage, not against forgery.
"""


@dataclass(frozen=True)
class Filled:
    """What a bundle holds, for its manifest."""

    program: Program
    examples: Examples
    told: dict[str, str]  # of a language model what the manifest says of LiteRT-LM, by its fields


def fill(folder: Path, name: str, row: Row, checkpoint: Path | None) -> Filled:
    """Write all of a bundle but its manifest and the digests.

    Args:
        folder: where to.
        name: of the project.
        row: the champion's pair.
        checkpoint: that the project's language model comes from; None: it comes from none.

    Raises:
        DataError: the artifact is missing, or is not the one that was measured; or there are no examples of the data.
        DeviceError: the program crashes on them.
    """
    artifact = made_in(paths.artifact(row.variant))
    if artifact.card.sha256 != row.measurement.artifact_sha256:
        was = row.measurement.artifact_sha256
        raise DataError(f"{artifact.path}: sha256 {was} was measured; received {artifact.card.sha256}: `tercet run`")
    device = devices.load(row.device)
    shipped = shipping.ships(artifact, device, folder)
    described = paths.DATA / "preprocess.json"
    shutil.copyfile(described, folder / described.name)
    inputs = preprocess.read(described)["inputs"]
    reads_images = any(entry["kind"] == "image" for entry in inputs.values())
    if any("tokenizer" in entry for entry in inputs.values()):
        shipped = replace(shipped, requires=(*shipped.requires, shipping.required("tokenizers")))
    for script in (preprocess, classify, *([images] if reads_images else [])):
        source = Path(str(script.__file__))
        shutil.copyfile(source, folder / source.name)
    writes = artifact.card.scenario == "generate" and Path(shipped.serves).suffix == artifact.path.suffix
    told = _for_litert_lm(folder, artifact, inputs, checkpoint) if writes else {}
    packages = " ".join(f'"{package}"' for package in shipped.requires)
    also = litertlm.NOTE if "litertlm" in told else ""
    readme = README.format(name=name, row=row, packages=packages, runs=shipped.runs, also=also)
    files.write_text(folder / "README.txt", readme)
    program = folder / shipped.file
    about = {name: value for name, value in vars(shipped).items() if name in Program.model_fields}
    return Filled(
        Program(sha256=files.sha256(program), bytes=program.stat().st_size, **about),
        examples.write(folder, artifact, device, shipped),
        told,
    )


def _for_litert_lm(folder: Path, artifact: Made, inputs: dict[str, Any], checkpoint: Path | None) -> dict[str, str]:
    """Write the file of LiteRT-LM, or say why there is none: the fields of the manifest."""
    try:
        litertlm.write(folder / litertlm.FILE, artifact.path, artifact.card, words.of(inputs, checkpoint))
    except UnsupportedError as error:
        return {"no_litertlm": str(error)}
    return {"litertlm": litertlm.FILE}


def manifest(choice: Choice, budget: Budget, row: Row, filled: Filled, folder: Path) -> Manifest:
    """What is shipped, why, and what it costs, with the digest of every file in the filled folder."""
    measured = row.measurement
    return Manifest(
        device=choice.device,
        variant=choice.champion,
        reason=choice.reason,
        doubts=choice.doubts,
        budget=budget,
        within_budget=choice.within_budget,
        distances=choice.distances,
        artifact_sha256=measured.artifact_sha256,
        program=filled.program,
        examples=filled.examples,
        quality=Quality(metric=row.metric, unit=row.unit, better=row.better, validation=row.worth),
        figures={key: _found(value) for key, value in known(row).items()},
        kernels=measured.kernels,
        stand_in=measured.stand_in,
        **filled.told,
        files={
            path.relative_to(folder).as_posix(): File(sha256=files.sha256(path), bytes=path.stat().st_size)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
        versions=_versions(),
    )


def empty(device: str, budget: Budget, reason: str) -> Manifest:
    """Why nothing is shipped to a device."""
    return Manifest(
        device=device,
        variant=None,
        reason=reason,
        budget=budget,
        within_budget=False,
        distances={},
        artifact_sha256=None,
        program=None,
        examples=None,
        quality=None,
        figures=None,
        files={},
        versions=_versions(),
    )


def seal(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, and the digests of it and of every other file."""
    manifest.save(folder / classify.MANIFEST)
    own = files.sha256(folder / classify.MANIFEST)
    listed = {classify.MANIFEST: own, **{name: file.sha256 for name, file in manifest.files.items()}}
    lines = [f"{digest}  {name}\n" for name, digest in sorted(listed.items())]
    files.write_text(folder / classify.SUMS, "".join(lines))


def _found(value: Value) -> Found:
    return Found(**{name: getattr(value, name) for name in Found.model_fields})


def _versions() -> dict[str, str]:
    """Tercet's own, where it is installed; the runtime's stands with the program."""
    known = devices.installed("tercet")
    return {"tercet": known} if known else {}
