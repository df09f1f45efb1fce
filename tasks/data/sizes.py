"""How large a file of data may become in memory, looked at before anything of it is allocated."""

import os
from pathlib import Path

from tasks.errors import DataError

PACKED = 200  # times a compressed file may grow: sparse arrays reach that, and files made to fill a memory go beyond
# bytes in memory for each one of a text that becomes cells, or words; of narrow cells, as ratings have, 18 were seen,
# for which the other half of the memory is there
GROWTH = 10
HARMLESS = 64 * 2**20  # bytes: up to here nobody asks


def check(where: str, size: int, stored: int | None = None) -> None:
    """Refuse what would not fit into memory, or what was compressed so that it should not.

    Args:
        where: names the file, and the array in it.
        size: its bytes in memory.
        stored: its bytes on disk, where they are compressed.

    Raises:
        DataError: it is too large.
    """
    if size <= HARMLESS:
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory // 2:
        raise DataError(
            f"{where}: {size:,} bytes; at most half of this machine's memory, {memory // 2:,} bytes, can be taken: "
            "use fewer or smaller examples"
        )
    if stored is not None:
        check_growth(where, size, stored)


def check_text(told: Path, *files: Path) -> None:
    """Refuse text that would not fit into memory as its parts.

    Args:
        told: what the message calls it: its file, the file that it was unpacked from, or the folder of its files.
        files: that are read together, where it is not `told` itself; a link to nothing is told by who opens it.

    Raises:
        DataError: it is too large.
    """
    check(str(told), sum(file.stat().st_size for file in files or (told,) if file.exists()) * GROWTH)


def check_growth(where: str, size: int, stored: int) -> None:
    """Refuse what was compressed so that it should fill a memory, or a disk.

    Args:
        where: names the file.
        size: its bytes, or those that have come out of it so far.
        stored: its bytes on disk.

    Raises:
        DataError: it is too large.
    """
    if size > HARMLESS and size > PACKED * max(stored, 1):
        raise DataError(
            f"{where}: {size:,} bytes out of {stored:,}; a compressed file may grow by a factor of {PACKED}: "
            "if these are your own data, store them uncompressed"
        )
