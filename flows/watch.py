"""`tercet watch`: tell whether a server still answers as it did."""

from tasks.serve import drift, watch


def watched(source: str) -> bool:
    """Print what has changed in a server's counts; whether nothing has.

    Raises:
        TercetError: it does not answer, or has too little to tell.
    """
    told = watch.counted(source)
    changes = drift.found(told["windows"], told.get("reference"))
    print("\n".join(drift.lines(told["windows"], changes)))
    return not changes
