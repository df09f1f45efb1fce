"""What names a class or a group in a row: a word that says that nothing is known names none."""

from tasks.errors import DataError
from tasks.examples import tables

UNKNOWN = tuple(word for word in tables.MISSING if word != "none")  # that one may well be what a class is called


def check(where: str, name: str, cell: str) -> None:
    """Refuse a cell that names nothing: all such rows would be one class, or one group, that there is not.

    Args:
        where: the file, and the line in it.
        name: of the column.
        cell: without the space around it.

    Raises:
        DataError: it is empty, or says so.
    """
    if not cell:
        raise DataError(f"{where}: {name!r} is empty; fill it, or delete the row")
    if cell.lower() in UNKNOWN:
        told = "fill it, delete the row, or, if it is a name, choose another"
        raise DataError(f"{where}: {name!r} is empty, as {cell!r} says; {told}")
