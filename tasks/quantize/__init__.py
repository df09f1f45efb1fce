"""Artifact kinds, one file each: how a Keras model becomes a file for a runtime."""
