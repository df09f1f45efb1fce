"""Stage `bundle`: pack a device's champion, or say why there is none."""

from tasks import files, paths, records
from tasks.bench import shots
from tasks.errors import DataError, UnsupportedError
from tasks.packages import located
from tasks.params import Decoder, Params
from tasks.records import Comparison
from tasks.ship import champion, pack


def bundle(params: Params, device: str) -> None:
    """Write `out/bundles/<device>/` for the variant that the device's budget selects.

    Where no variant can be chosen the bundle is a manifest that says why, so the other devices go on.

    Raises:
        DataError: the report, the champion's artifact or the data is missing, the artifact is not the one that was
            measured, or a pair of the device failed or was measured on a machine that was too busy: what was shipped
            before stays.
        DeviceError: the champion crashes on the examples: likewise.
    """
    comparison = records.read(Comparison, paths.REPORT / "comparison.json")
    budget = params.bundle.budget(device)
    if unknown := champion.undecided(comparison, device, budget):
        raise DataError(f"{device}: {unknown}; {paths.bundle(device)} stays as it was: `{shots.AGAIN}` tries again")
    checkpoint = located(params.model.source) if isinstance(params.model, Decoder) else None
    with files.replaced_folder(paths.bundle(device)) as folder:
        try:
            choice = champion.select(comparison, device, budget)
            row = next(row for row in comparison.rows if (row.variant, row.device) == (choice.champion, device))
            filled = pack.fill(folder, params.name, row, checkpoint)
            manifest = pack.manifest(choice, budget, row, filled, checkpoint)
        except UnsupportedError as error:
            manifest = pack.empty(device, budget, str(error))
        pack.seal(folder, params.name, manifest)
