"""What an artifact weighs as it is stored and as it is sent: sparsity and clusters show under compression alone."""

import gzip
from typing import TypedDict

GZIP_LEVEL = 9
ZSTD_LEVEL = 19  # the highest that needs no more memory to unpack than a small computer has
LARGE = 64 << 20  # bytes, above which that level takes minutes: half a GB four and a half of two processors


class Sizes(TypedDict):
    """Bytes, by the names that an artifact's card gives them."""

    bytes: int
    gzip_bytes: int
    zstd_bytes: int | None


def of(content: bytes) -> Sizes:
    """The bytes of `content` raw, under gzip -9 and under zstd -19.

    Above 64 MiB there is none of zstd: another level's would stand beside those of smaller files as if it were one.
    """
    import zstandard

    packed = None
    if len(content) <= LARGE:
        packed = len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content))
    zipped = len(gzip.compress(content, GZIP_LEVEL, mtime=0))
    return {"bytes": len(content), "gzip_bytes": zipped, "zstd_bytes": packed}
