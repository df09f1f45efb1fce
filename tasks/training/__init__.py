"""Fitting Keras models, and keeping them on disk."""
