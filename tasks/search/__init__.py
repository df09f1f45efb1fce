"""Searching for the chains of methods that serve some devices best: what is tried, judged and kept."""
