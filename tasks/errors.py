"""Every error that a user can cause or meet, in one tree.

    TercetError
    ├── ParamsError        params.yaml, a preset or a device file is wrong
    │   └── WordsError     a word of the command line names nothing: exit code 2, not 1
    ├── DataError          a data file is missing, truncated, empty or mislabelled
    │   └── DownloadError  its download broke off                                      (*)
    ├── ModelError         a model cannot be built, trained or compressed
    ├── ConversionError    a variant cannot be converted as its scheme promises
    ├── UnsupportedError   this variant cannot run on this device: a result, not a failure
    ├── InvalidError       what was answered or measured is no result: the pair is told as invalid
    ├── ShippingError      a device runs something else than what was shipped; `code` says why
    ├── DeviceError        a device did not answer, or crashed                         (*)
    ├── SigningError       what is shipped cannot be signed: a key is missing, locked, or lies where none may
    └── TrackingError      the tracking server cannot be used: records wait for `tercet publish`

(*) are TransientErrors: they may pass, so another try is worth it.

The front doors print `str(error)` as one line and no traceback, so a message says what is wrong, what was
received, what is allowed and what to do.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

MANY, NEAREST = 60, 12  # names: of more than so many an error shows the nearest


class TercetError(Exception):
    """Base of every error that is shown to the user as one line."""


class ParamsError(TercetError):
    """params.yaml, a preset or a device file is wrong."""


class WordsError(ParamsError):
    """A word of the command line names nothing, or those that are there do not go together."""


class DataError(TercetError):
    """A data file is missing, truncated, empty or mislabelled."""


class TransientError(TercetError):
    """What may pass by itself: another try is worth it."""


class DownloadError(DataError, TransientError):
    """A download broke off, or never began."""


class ModelError(TercetError):
    """A model cannot be built, trained or compressed."""


class ConversionError(TercetError):
    """A variant cannot be converted as its scheme promises."""


class UnsupportedError(TercetError):
    """A variant cannot run on a device; the message becomes the reason in its record."""


class InvalidError(TercetError):
    """What was answered or measured is no result; the message becomes the reason in its record."""


class DeviceError(TransientError):
    """A device did not answer in time, or crashed."""


class SigningError(TercetError):
    """What is shipped cannot be signed."""


class ShippingError(TercetError):
    """A device does not run what was shipped to it; the message says what it runs."""

    def __init__(self, line: str, code: int = 1) -> None:
        super().__init__(line)
        self.code = code  # of the command: what is refused for another reason has another


class TrackingError(TercetError):
    """The tracking server cannot be used."""


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on to the bottom; each once, for a chain may lead back into itself."""
    found: set[int] = set()
    while error is not None and id(error) not in found:
        found.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def not_utf8(where: str, error: UnicodeDecodeError) -> DataError:
    """What to raise of a file, or of a line of it, whose bytes are not UTF-8."""
    return DataError(f"{where}: UTF-8 expected; received the byte 0x{error.object[error.start]:02x}; save it as such")


def suggest(received: str, allowed: Iterable[str]) -> str:
    """The tail of an error about a wrong name: a near match, if any, and what is allowed; of very many, the nearest."""
    names = sorted(allowed)
    near = get_close_matches(received, names, n=1)
    hint = f" did you mean {near[0]!r}?" if near else ""
    if len(names) > MANY:
        shown = get_close_matches(received, names, n=NEAREST, cutoff=0)
        return f"allowed: {', '.join(shown)} and {len(names) - len(shown)} others.{hint}"
    return f"allowed: {', '.join(names) or 'none'}.{hint}"
