"""`tercet devices`: the catalog, or what else is asked of it."""

from flows.support import support
from flows.views.show import devices, probe, published


def told(*, matrix: bool, board: str | None, name: str | None, as_json: bool) -> int:
    """Print what is asked, and give the command's code.

    Args:
        matrix: which operator runs where.
        board: a device or a board, of which others have published figures.
        name: of a device that is to be reached; "": of all.
        as_json: for scripts.

    Raises:
        WordsError: there is no such device, or nothing is known of it.
        DataError: the operators have not been probed.
    """
    if matrix:
        support(as_json=as_json)
    elif board is not None:
        published(board, as_json=as_json)
    elif name is not None:
        return 0 if probe(name, as_json=as_json) else 1
    else:
        devices(as_json=as_json)
    return 0
