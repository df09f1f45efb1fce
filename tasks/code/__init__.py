"""What code, libraries and settings the outputs of each stage hang from, as `out/code` says it."""
