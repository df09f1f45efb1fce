"""What a server has counted, from its address or from a file of it."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tasks.errors import DataError, DeviceError

LIMIT_S = 10.0
MOST_BYTES = 64 << 20


def counted(source: str) -> dict[str, Any]:
    """The counts of a server at `http://…`, or of a file that holds what its `/counts` said.

    Raises:
        DeviceError: it does not answer.
        DataError: that is no server's counts.
    """
    content = _asked(source) if source.startswith(("http://", "https://")) else _read(Path(source))
    try:
        told = json.loads(content)
        wrong = not isinstance(told["windows"], list)
    except (ValueError, KeyError, TypeError):
        wrong = True
    if wrong:
        raise DataError(f"{source}: no counts of a server; give its address, or a file of what its /counts said")
    return dict(told)


def _asked(address: str) -> bytes:
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/counts", timeout=LIMIT_S) as answer:  # noqa: S310 - http(s)
            return bytes(answer.read(MOST_BYTES))
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DeviceError(f"{address}: {reason}; is `tercet serve` at work there?") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; an address (http://…) or a file of counts is expected") from None
