"""Data sources, one file each: `load(params) -> Source`."""
