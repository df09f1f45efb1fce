"""The revision of git that a project stands at."""

import os
import subprocess

LIMIT_S = 10
DIRTY = "-dirty"


def commit() -> str | None:
    """The commit that is checked out, with `-dirty` behind it where files are changed; null outside of git."""
    command = ["git", "describe", "--always", "--abbrev=40", f"--dirty={DIRTY}", "--exclude=*"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
