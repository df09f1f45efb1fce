"""The project's own lines on standard error: what it tells while it works."""

import logging
import os


def log_to_terminal(least: int = logging.INFO) -> None:
    """Let the project's own messages through to standard error, as they are.

    `quiet_libraries` comes before: a handler keeps the standard error that it finds, and that becomes their file.

    Args:
        least: the level from which they are.
    """
    handler = _Lines(least)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for name in ("tasks", "flows"):
        logging.getLogger(name).setLevel(logging.INFO)
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).propagate = False  # Prefect's own handler would say it once more


class _Lines(logging.StreamHandler):  # type: ignore[type-arg]  # it takes one only when it is checked
    """Writes a line above the progress bars that stand there, and never into one; an error is red in a terminal."""

    def __init__(self, least: int = logging.INFO) -> None:
        super().__init__()
        self.setLevel(least)

    def format(self, record: logging.LogRecord) -> str:
        """The line, coloured where colours are seen and wanted (`NO_COLOR`)."""
        line = super().format(record)
        marked = record.levelno >= logging.ERROR and self.stream.isatty() and not os.environ.get("NO_COLOR")
        return f"\x1b[31m{line}\x1b[0m" if marked else line

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        from tqdm import tqdm

        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)
