"""What the words of a command line have to be: each raises what is told in a line."""

from pathlib import Path

from typer import BadParameter


def folder(text: str | Path) -> Path:
    """The name of a folder."""
    if not str(text).strip():  # a variable of the shell that is not set; it would be this folder
        raise BadParameter(f"received {text!r}; the name of a folder is expected")
    return Path(text)


def subject(text: str) -> str:
    """A variant by its name, or a `.tflite` file by its whole path: it is named from where the command is given."""
    path = Path(text)
    return str(path.absolute()) if path.suffix == ".tflite" and path.is_file() else text


def revision(text: str) -> str:
    """A revision of git, or what else has such a name: what it is, git says."""
    if not text.strip():  # likewise; git takes no name for HEAD, with which nothing ever got worse
        raise BadParameter(f"received {text!r}; a revision of git is expected, such as HEAD~1 or main")
    return text


def count(text: str | int) -> int:
    """A number from 1."""
    if not str(text).isdecimal() or not int(text):
        raise BadParameter(f"received {text!r}; a number from 1 is expected")
    return int(text)


def port(text: str | int) -> int:
    """The number of a port."""
    if not str(text).isdecimal() or not 1 <= int(text) <= 65535:
        raise BadParameter(f"received {text!r}; a number from 1 to 65535 is expected")
    return int(text)


def port_or_any(text: str | int) -> int:
    """Likewise, or 0 for a free one."""
    return 0 if str(text) == "0" else port(text)


def positive(text: str | float) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BadParameter(f"received {text!r}; a number above 0 is expected")
    return value
