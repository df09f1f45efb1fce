"""What DVC says of an error, in one line."""

from dvc.exceptions import DvcException
from dvc.scm import SCMError

from tasks.records.failures import words


def told(error: BaseException) -> str:
    """DVC's own words, with what mends a project that git does not know; the type and the words of any other error."""
    mend = "; DVC keeps versions by git: `git init` here" if isinstance(error, SCMError) else ""
    return f"{' '.join(str(error).split())}{mend}" if isinstance(error, DvcException) else words(error)
