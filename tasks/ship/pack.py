"""A bundle: a folder that classifies raw inputs with nothing but numpy and the runtime."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks import files, paths
from tasks.bench import devices, shipping
from tasks.bench.kinds import KINDS
from tasks.bench.request import Made as Artifact
from tasks.bench.request import made_in
from tasks.errors import DataError, UnsupportedError
from tasks.examples import images, preprocess, tables, texts
from tasks.params import Budget
from tasks.records import Measurement, Record, Row
from tasks.records.figures import FIGURES, Value, judged, known
from tasks.ship import card, classify, examples, firmware, libraries, licences, litertlm, reference, sbom, words
from tasks.ship.champion import Choice
from tasks.ship.manifest import Data, Examples, File, Firmware, Found, Made, Manifest, Program, Quality

RESOURCES = ("LICENSE",)
LICENCE = "LICENSE-tercet.txt"  # of the script and its modules, which asks to come along
FILE_MODE, FOLDER_MODE = 0o644, 0o755
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

    artifact: Artifact
    program: Program
    examples: Examples
    firmware: Firmware | None
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
    for script in (preprocess, tables, texts, classify, *([images] if reads_images else [])):
        source = Path(str(script.__file__))
        shutil.copyfile(source, folder / source.name)
    shutil.copyfile(paths.packaged(Path("LICENSE")), folder / LICENCE)
    served = artifact if Path(shipped.serves).suffix == artifact.path.suffix else None
    told = _for_text(folder, served, inputs, checkpoint) if artifact.card.scenario == "generate" else {}
    packages = " ".join(f'"{package}"' for package in shipped.requires)
    also = litertlm.NOTE if "litertlm" in told else ""
    readme = README.format(name=name, row=row, packages=packages, runs=shipped.runs, also=also)
    files.write_text(folder / "README.txt", readme)
    program = folder / shipped.file
    about = {name: value for name, value in vars(shipped).items() if name in Program.model_fields}
    return Filled(
        artifact,
        Program(sha256=files.sha256(program), bytes=program.stat().st_size, **about),
        examples.write(folder, artifact, device, shipped),
        _for_firmware(program, row.measurement) if KINDS.load(device.kind).embeds else None,
        told,
    )


def _for_text(folder: Path, served: Artifact | None, inputs: dict[str, Any], checkpoint: Path | None) -> dict[str, str]:
    """Write a language model's words, and the file of LiteRT-LM or why there is none: the fields of the manifest.

    Args:
        folder: the bundle.
        served: the artifact, where the bundle serves it itself; None: what was made of it.
        inputs: the data's.
        checkpoint: that the model comes from.
    """
    try:
        known = words.of(inputs, checkpoint)
        files.write_json(folder / words.FILE, words.told(known, inputs))
        if served is None:
            return {}
        litertlm.write(folder / litertlm.FILE, served.path, served.card, known)
    except UnsupportedError as error:
        return {"no_litertlm": str(error)} if served else {}
    return {"litertlm": litertlm.FILE}


def _for_firmware(program: Path, measured: Measurement) -> Firmware:
    return firmware.write(program.parent, program, measured.details, measured.memory.what if measured.memory else None)


def manifest(choice: Choice, budget: Budget, row: Row, filled: Filled, checkpoint: Path | None) -> Manifest:
    """What is shipped, why, and what it costs; `seal` adds the files.

    Raises:
        DataError: `prepare` has left no record of the data.
    """
    measured = row.measurement
    code = paths.code(f"bundle.{choice.device}")
    return Manifest(
        device=choice.device,
        variant=choice.champion,
        reason=choice.reason,
        doubts=choice.doubts,
        budget=budget,
        within_budget=choice.within_budget,
        distances=choice.distances,
        fastest=choice.fastest,
        most_frugal=choice.most_frugal,
        nearest_beyond=choice.nearest_beyond,
        artifact_sha256=measured.artifact_sha256,
        program=filled.program,
        made=Made(total_epochs=row.total_epochs, **_fields(Made, filled.artifact.card)),
        data=_data(),
        code_sha256=files.sha256(code) if code.exists() else None,
        licences=_licences(filled.program, checkpoint),
        examples=filled.examples,
        firmware=filled.firmware,
        reference=reference.of(row),
        quality=Quality(metric=row.metric, unit=row.unit, better=row.better, validation=row.worth),
        figures={key: _found(row, key, value) for key, value in known(row).items()},
        kernels=measured.kernels,
        stand_in=measured.stand_in,
        **filled.told,
        versions=_versions(),
    )


def empty(device: str, budget: Budget, reason: str) -> Manifest:
    """Why nothing is shipped to a device."""
    nothing: dict[str, Any] = {"variant": None, "within_budget": False, "distances": {}}
    return Manifest(device=device, reason=reason, budget=budget, versions=_versions(), **nothing)


def seal(folder: Path, name: str, manifest: Manifest) -> None:
    """Write what a bundle says of itself: the model card and the bill of materials, the manifest, and the digests."""
    if manifest.program is not None:
        files.write_text(folder / card.FILE, card.text(name, manifest))
        bill = sbom.bill(name, manifest, libraries.of(manifest.program.requires), _listed(folder))
        files.write_json(folder / sbom.FILE, bill)
    whole = manifest.model_copy(update={"files": _listed(folder)})
    whole.save(folder / classify.MANIFEST)
    lines = [f"{file.sha256}  {path}\n" for path, file in sorted(_listed(folder).items())]
    files.write_text(folder / classify.SUMS, "".join(lines))
    for path in (folder, *folder.rglob("*")):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)


def _listed(folder: Path) -> dict[str, File]:
    """Every file of a folder, by its place there."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): File(sha256=files.sha256(path), bytes=path.stat().st_size)
        for path in found
    }


def _data() -> Data:
    path = paths.DATA / "card.json"
    told = files.read_json(path)
    if told is None:
        raise DataError(f"{path}: no such file, or not whole; delete {paths.DATA} and run `tercet run`")
    known = {name: told[name] for name in Data.model_fields if name in told}
    return Data(**{**known, "sha256": files.sha256(path)})


def _licences(program: Program, checkpoint: Path | None) -> dict[str, str | None]:
    own = {"model": licences.of_checkpoint(checkpoint), "data": None, "tercet": libraries.licence("tercet")}
    return own | {name: library.licence for name, library in libraries.of(program.requires).items()}


def _found(row: Row, key: str, value: Value) -> Found:
    figure = judged(FIGURES[key], row.metric, row.unit, row.better)
    return Found(unit=figure.unit, better=figure.better, **_fields(Found, value))


def _fields(kind: type[Record], given: Any) -> dict[str, Any]:
    """What something has under the names of a record's fields."""
    return {name: getattr(given, name) for name in kind.model_fields if hasattr(given, name)}


def _versions() -> dict[str, str]:
    """Tercet's own, where it is installed; the runtime's stands with the program."""
    known = devices.installed("tercet")
    return {"tercet": known} if known else {}
