"""What Tercet writes into a project beside params.yaml, and the record by which an update knows the user's edits."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks import files, paths
from tasks.errors import ParamsError

RECORD = Path(".tercet.json")
IGNORED = ".gitignore"  # which only ever gets lines
GIVEN = {  # by their places in a project: where they lie in Tercet
    IGNORED: IGNORED,
    ".dvcignore": ".dvcignore",
    ".dvc/.gitignore": ".dvc/.gitignore",
    ".dvc/config": ".dvc/config",
    "prefect.yaml": "prefect.yaml",
    "dvc.yaml": "dvc.yaml",  # the last: it is what makes a folder a project
}
CI = {
    ".github/workflows/tercet.yaml": "infra/starts/workflow.yaml",
    "Dockerfile": "infra/starts/Dockerfile",
    ".dockerignore": "infra/starts/dockerignore",
}


class Record(BaseModel):
    """Who made a project's files, and what they were then."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = "one that kept no record"  # of Tercet
    files: dict[str, str] = Field(default_factory=dict)  # text by place


def now(*, ci: bool) -> Record:
    """What this Tercet writes.

    Args:
        ci: a workflow for GitHub and a Dockerfile, too.
    """
    places = (CI if ci else {}) | GIVEN
    return Record(version=_version(), files={name: _text(paths.packaged(Path(at))) for name, at in places.items()})


def read() -> Record:
    """What the project's files were when Tercet wrote them last; of a project without a record nothing.

    Raises:
        ParamsError: the record is broken.
    """
    if not RECORD.exists():
        return Record()
    try:
        return Record.model_validate_json(RECORD.read_bytes())
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        raise ParamsError(f"{RECORD}: {why}; take it from git, or delete it: your files are then left alone") from None


def write(record: Record) -> None:
    """Keep what was written."""
    files.write_json(RECORD, record.model_dump())


def ignore(lines: list[str]) -> bool:
    """Have .gitignore say these lines, too; whether it lacked any."""
    path = Path(IGNORED)
    present = path.read_bytes() if path.exists() else b""  # of whatever encoding
    missing = [line for line in lines if line.encode() not in present.splitlines()]
    if missing:
        gap = b"" if present.endswith(b"\n") or not present else b"\n"
        with files.replaced(path) as temporary:
            temporary.write_bytes(present + gap + "\n".join([*missing, ""]).encode())
    return bool(missing)


def _text(path: Path) -> str:
    return path.read_bytes().decode()


def _version() -> str:
    try:
        return version("tercet")
    except PackageNotFoundError:
        return "a checkout that is not installed"
