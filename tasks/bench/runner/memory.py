"""How fast this machine reads memory: what bounds whatever reads more than its caches hold, and all of it once."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BYTES = 2**28  # more than a processor's caches hold
PASSES = 9


def read_gb_s(threads: int) -> float:
    """The bytes that so many threads read side by side, in the fastest of some passes over memory; in GB/s.

    The fastest, as in STREAM (J. McCalpin, "Memory bandwidth and machine balance in current high performance
    computers", 1995): nothing makes a memory faster than it is.
    """
    parts = [np.ones(BYTES // 4 // threads, np.float32) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        taken = [_seconds(pool, parts) for _ in range(PASSES)]
    return sum(part.nbytes for part in parts) / min(taken) / 1e9


def _seconds(pool: ThreadPoolExecutor, parts: list[np.ndarray]) -> float:
    start = time.perf_counter()
    list(pool.map(lambda part: np.dot(part, part), parts))
    return time.perf_counter() - start
