"""What the words of a command line have to be: each raises what argparse tells in a line."""

import argparse
from pathlib import Path


def folder(text: str) -> Path:
    """The name of a folder."""
    if not text.strip():  # a variable of the shell that is not set; it would be this folder
        raise argparse.ArgumentTypeError(f"received {text!r}; the name of a folder is expected")
    return Path(text)


def count(text: str) -> int:
    """A number from 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"received {text!r}; a number from 1 is expected")
    return int(text)


def port(text: str) -> int:
    """The number of a port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"received {text!r}; a number from 1 to 65535 is expected")
    return int(text)


def port_or_any(text: str) -> int:
    """Likewise, or 0 for a free one."""
    return 0 if text == "0" else port(text)
