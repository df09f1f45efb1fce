"""The marks of figures where a terminal has none of them, as under `LC_ALL=C`: what is measured still tells apart."""

ASCII = {
    "●": "*",
    "○": "o",
    "◇": "^",
    "–": "-",
    "±": "~",
    "×": "x",
    "·": ".",
    "→": ">",
    "−": "-",
    "≠": "#",
}  # each as wide


def plainly(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that cannot be encoded, and where to go on; a handler for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ASCII.get(each, "?") for each in error.object[error.start : error.end]), error.end
