"""The revision of git that a project stands at."""

import subprocess
from pathlib import Path

from tasks import revision


def git(*words: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *who, *words], timeout=60, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_it_is_the_commit_with_a_word_where_files_are_changed(project: Path) -> None:
    assert revision.commit() is None
    git("init", "--quiet")
    assert revision.commit() is None, "nothing is committed yet"
    (project / "params.yaml").write_text("a: 1")
    git("add", "--all")
    git("commit", "--quiet", "--message", "all")
    assert revision.commit() == git("rev-parse", "HEAD")
    (project / "params.yaml").write_text("a: 2")
    assert revision.commit() == f"{git('rev-parse', 'HEAD')}-dirty"
