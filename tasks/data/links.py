"""Where the links in an archive lead: to its own files and folders, as they would on a disk, and never out of it."""

import posixpath
from collections.abc import Iterator, Mapping

from tasks.data import sizes

HIDDEN = (".", "__MACOSX")  # how the names of files begin that systems put beside a user's
DEEPEST = 40  # links behind one another, as Linux follows them
Entries = Mapping[str, str | None]  # by name: None of a file, of a link the path that it leads to, see `target`


def target(name: str, written: str) -> str:
    """The path from the top of the archive that a symbolic link leads to; one out of it begins with a slash."""
    return posixpath.join(posixpath.dirname(name), written)


def followed(entries: Entries) -> Iterator[tuple[str, str]]:
    """Each file by every path that leads to it, and its own name; nothing hidden, and no folder within itself.

    Raises:
        ValueError: a link leads to nothing that is there, or links make far more paths than there are names.
    """
    folders = _folders(entries)
    pending: list[tuple[str, str, tuple[str, ...]]] = [("", "", ())]
    count = 0
    while pending:
        path, folder, above = pending.pop()
        for own in sorted(each for each in folders[folder] if not each.startswith(HIDDEN)):
            count += 1
            if count > sizes.PACKED * len(entries):
                raise ValueError(f"{path}: links within links make more than {count - 1} paths of {len(entries)} names")
            shown, real = posixpath.join(path, own), _real(posixpath.join(folder, own), entries)
            if real is None or not (real in entries or real in folders):
                told = "a link that leads to nothing in the archive; pack what it leads to (tar -h), or delete it"
                raise ValueError(f"{shown}: {told}")
            if real in entries:
                yield shown, real
            if real in folders and real not in (*above, folder):
                pending.append((shown, real, (*above, folder)))


def _folders(entries: Entries) -> dict[str, set[str]]:
    """What lies in each folder; the top has no name."""
    found: dict[str, set[str]] = {"": set()}
    for entry in entries:
        name = entry
        while name:
            name, _, own = name.rpartition("/")
            found.setdefault(name, set()).add(own)
    return found


def _real(path: str, entries: Entries) -> str | None:
    """A path without links on it; None where it leads out of the archive, or in a circle."""
    done: list[str] = []
    todo, left = path.split("/")[::-1], DEEPEST
    while todo:
        part = todo.pop()
        if part == ".." and not done:
            return None
        if part == "..":
            done.pop()
        elif part not in ("", "."):
            done.append(part)
        if (leads := entries.get("/".join(done))) is not None:
            left -= 1
            if not left or leads.startswith("/"):
                return None
            todo, done = [*todo, *leads.split("/")[::-1]], []
    return "/".join(done)
