"""Measuring: the runner that is shipped, how it is reached, and what its readings mean."""
