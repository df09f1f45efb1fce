"""Ship a device's champion: a folder that classifies raw inputs with nothing but numpy and the runtime."""

import shutil
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tasks import champion, classify, devices, files, paths, records
from tasks.champion import Choice
from tasks.data import preprocess
from tasks.errors import DataError, UnsupportedError
from tasks.manifest import Figures, Manifest, Quality
from tasks.params import Budget, Params
from tasks.records import Comparison, Row
from tasks.registry import resolve

MODEL = "model.tflite"
COMPILERS = {"ethos-u": "tasks.bench.targets.ethos_u:compile"}  # kinds of device that run a file of their own
README = """\
{name}: {row.variant} for {row.device}.
Install: pip install numpy "ai-edge-litert=={runtime}" (Python 3.11 or later).
Classify: python classify.py INPUT; `python classify.py --help` says what INPUT may be. It checks every file first.
{runs}
manifest.json holds the budget, the figures and their provenance, and the SHA-256 of every file.
"""


def deploy(params: Params, device: str) -> None:
    """Write `out/bundles/<device>/` for the variant that the device's budget selects.

    Where no variant can be chosen the bundle is a manifest that says why, so the other devices go on.

    Raises:
        DataError: the report or the champion's artifact is missing, the artifact is not the one that was measured, or
            a pair of the device failed: what was shipped before stays.
    """
    comparison = records.read(Comparison, paths.REPORT / "comparison.json")
    if unknown := champion.undecided(comparison, device):
        raise DataError(f"{device}: {unknown}; {paths.bundle(device)} stays as it was: `tercet run` tries again")
    budget = params.deploy.budget(device)
    with files.replaced_folder(paths.bundle(device)) as folder:
        try:
            choice = champion.select(comparison, device, budget)
        except UnsupportedError as error:
            manifest = _empty(device, budget, str(error))
        else:
            row = next(row for row in comparison.rows if (row.variant, row.device) == (choice.champion, device))
            _fill(folder, params.name, row)
            manifest = _manifest(choice, budget, row, folder)
        manifest.save(folder / "manifest.json")


def _fill(folder: Path, name: str, row: Row) -> None:
    """Everything but the manifest."""
    artifact = paths.artifact(row.variant) / MODEL
    _check(artifact, row)
    shutil.copyfile(artifact, folder / MODEL)
    shutil.copyfile(paths.DATA / "preprocess.json", folder / "preprocess.json")
    for script in (preprocess, classify):
        source = Path(str(script.__file__))
        shutil.copyfile(source, folder / source.name)
    runs = f"{MODEL} is what runs on the device."
    device = devices.load(row.device)
    if device.kind in COMPILERS:
        compiled = resolve(COMPILERS, device.kind, "compiler")(artifact, device, folder).name
        runs = f"{compiled} is what runs on the device; classify.py runs {MODEL} in its stead."
    readme = README.format(name=name, row=row, runtime=version("ai-edge-litert"), runs=runs)
    files.write_text(folder / "README.txt", readme)


def _check(artifact: Path, row: Row) -> None:
    expected = row.measurement.artifact_sha256
    found = files.sha256(artifact) if artifact.exists() else "no file"
    if found != expected:
        raise DataError(f"{artifact}: sha256 {expected} was measured; received {found}; measure again: `tercet run`")


def _manifest(choice: Choice, budget: Budget, row: Row, folder: Path) -> Manifest:
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
        figures=Figures(
            quality=Quality(
                metric=row.metric,
                value=row.quality,
                low=row.quality_low,
                high=row.quality_high,
                n=row.quality_n,
                validation=row.validation_quality,
            ),
            latency=measured.latency,
            memory=measured.memory,
            energy=measured.energy,
            bytes=row.bytes,
            gzip_bytes=row.gzip_bytes,
        ),
        kernels=measured.kernels,
        stand_in=measured.stand_in,
        files={path.name: files.sha256(path) for path in sorted(folder.iterdir())},
        versions=_versions(),
    )


def _empty(device: str, budget: Budget, reason: str) -> Manifest:
    return Manifest(
        device=device,
        variant=None,
        reason=reason,
        budget=budget,
        within_budget=False,
        distances={},
        artifact_sha256=None,
        figures=None,
        files={},
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    versions = {"runtime": f"ai-edge-litert {version('ai-edge-litert')}"}
    with suppress(PackageNotFoundError):  # run from a checkout that is not installed
        versions["tercet"] = version("tercet")
    return versions
