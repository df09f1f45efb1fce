"""What `tercet compare` and `tercet devices` print."""

from tasks import devices as catalog
from tasks import paths, records, table, track


def compare() -> None:
    """Print the comparison of the last run, and where to see more.

    Raises:
        DataError: nothing has run yet.
    """
    table.show(records.read(records.Comparison, paths.REPORT / "comparison.json"))
    print(f"report: {paths.REPORT / 'index.html'}\nMLflow: {track.ui_command()}")


def devices() -> None:
    """Print each device of the catalog: its kind, what it is, and why it cannot be used here if so."""
    for name in catalog.names():
        device = catalog.load(name)
        reason = catalog.usable(device)
        print(f"{name:<20} {device.kind:<10} {'usable' if reason is None else 'not usable here: ' + reason}")
        print(f"{'':<20} {device.description}")
