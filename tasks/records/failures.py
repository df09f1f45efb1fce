"""Why a stage failed, kept under `.tercet/failures` until it succeeds: what the report tells of what is not there."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from tasks import paths
from tasks.errors import ConversionError, DataError, InvalidError, TercetError, UnsupportedError
from tasks.records.base import Record, read

# of a file that cannot be as its scheme promises, that no runtime takes, or whose answers are no numbers
REFUSALS = (ConversionError, UnsupportedError, InvalidError)


class Failure(Record):
    """`.tercet/failures/<stage>/<keys>.json`: why the last try of a stage failed."""

    stage: str
    keys: tuple[str, ...]
    reason: str
    refused: bool = False  # what was asked for can never be made: no other try changes that

    @property
    def line(self) -> str:
        """The stage, its keys and the reason."""
        return f"{' '.join((self.stage, *self.keys))}: {self.reason}"


@contextmanager
def kept(stage: str, *keys: str) -> Iterator[None]:
    """Run a stage inside: an error is written down and goes on its way, success forgets the earlier one."""
    path = paths.failure(stage, *keys)
    try:
        yield
    except Exception as error:
        with suppress(OSError):  # a full disk may be the very reason: the error itself is told in any case
            refused = isinstance(error, REFUSALS)
            Failure(stage=stage, keys=keys, reason=words(error), refused=refused).save(path)
        raise
    with suppress(OSError):  # what stands in the place of the folder has its own line elsewhere
        path.unlink(missing_ok=True)


def words(error: BaseException) -> str:
    """One line for any error: ours say all themselves; of another its type is half of what it says."""
    said = " ".join(str(error).split())
    if isinstance(error, TercetError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def find(stage: str, *keys: str) -> Failure | None:
    """Why the last try of a stage failed; None where it did not, or where nothing is known of it."""
    try:
        return read(Failure, paths.failure(stage, *keys))
    except (DataError, OSError):  # not there, or half a line of a full disk
        return None


def first(stages: Iterable[tuple[str, ...]]) -> Failure | None:
    """The first of some stages, each with its keys, whose failure is known."""
    return next((found for stage, *keys in stages if (found := find(stage, *keys))), None)
