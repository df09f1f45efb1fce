"""What stands in an artifact of programs: the names of its files, and of types."""

from typing import Any

import numpy as np

MANIFEST, WEIGHTS = "lm.json", "weights.safetensors"


def named(dtype: str) -> Any:
    """A type by its name, one that numpy itself lacks too."""
    import ml_dtypes  # comes with jaxlib

    return np.dtype(getattr(ml_dtypes, dtype, None) or dtype)
