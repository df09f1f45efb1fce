"""The cells of a CSV file that is read as a whole."""

from pathlib import Path

from tasks.data import sizes
from tasks.errors import DataError, not_utf8
from tasks.examples import tables


def read(path: Path, told: Path | None = None) -> tables.Table:
    """The cells by their columns, with the line of each row.

    Args:
        path: of the file.
        told: what messages call it, where it was unpacked from another.

    Raises:
        DataError: it is too large for this machine, not UTF-8, or no table.
    """
    sizes.check_text(told or path, path)
    try:
        return tables.cells(path)
    except UnicodeDecodeError as error:
        raise not_utf8(str(told or path), error) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{told or path}: {error}") from None
