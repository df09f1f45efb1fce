"""A limit to how long a server may take, whatever it does meanwhile: MLflow's own limits are for each read."""

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def within(limit_s: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises, from a thread that is left alone after `limit_s` seconds and holds nobody up.

    Raises:
        TimeoutError: it has not ended by then.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # raised again by whoever waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no end after {limit_s:.0f} s")
    return results[0]
