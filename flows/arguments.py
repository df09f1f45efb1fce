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


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"received {text!r}; a number above 0 is expected")
    return value


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"tercet {version('tercet')}"
    except PackageNotFoundError:
        return "tercet, from a checkout that is not installed"


class Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_words: object) -> None:
        """Print it, and end."""
        print(_version())
        parser.exit()
