"""PostgreSQL: the database of Prefect's server and of MLflow's."""

import os
import pwd
import shutil
import signal
from pathlib import Path

from tasks import files
from tasks.errors import TercetError
from tasks.process import told
from tasks.services.place import HOST, Place, private
from tasks.services.processes import Service, checked

DEBIAN = Path("/usr/lib/postgresql")  # which keeps every version's programs off the PATH
SYSTEM_USER = "postgres"  # that runs it where we are root, whom PostgreSQL refuses
USER = "tercet"
DATABASES = ("prefect", "mlflow")
STEP_S = 300.0
DUMP_S = 3600.0


def service(place: Place) -> Service:
    """How it is run: on loopback, without a socket of its own in a folder that others write to."""
    settings = {"listen_addresses": HOST, "port": place.ports["postgres"], "unix_socket_directories": ""}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = [program("postgres"), "-D", str(data(place)), *words]
    return Service(
        "postgres",
        tuple(as_user(server)),
        place.home / "postgres",
        ready=lambda: _answers(place),
        environment={**plain(), "LC_ALL": "C"},
        ends=signal.SIGINT,  # end now, in order, whoever is connected
    )


def data(place: Place) -> Path:
    """The cluster's folder."""
    return place.home / "postgres" / "data"


def url(place: Place, driver: str, database: str) -> str:
    """A database's address, its password in it."""
    return f"postgresql+{driver}://{USER}:{place.secrets['postgres']}@{place.address('postgres')}/{database}"


def prepare(place: Place) -> None:
    """Make the cluster, once: in another folder that is then renamed, so a kill leaves none that is half made.

    Raises:
        TercetError: PostgreSQL is not installed, or its user may not enter the project's folder.
    """
    if data(place).is_dir():
        return
    folder = place.home / "postgres"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)
    with files.replaced_folder(data(place)) as temporary:
        password = folder / "password"
        private(password, place.secrets["postgres"])
        _give(temporary, password)
        words = ["-D", str(temporary), "--username", USER, "--pwfile", str(password), "--auth", "scram-sha-256"]
        try:
            _check_reach(temporary)
            command = as_user([program("initdb"), *words, "--encoding", "UTF8", "--locale", "C"])
            checked(command, plain(), "initdb", STEP_S)
        finally:
            password.unlink(missing_ok=True)


def settle(place: Place) -> None:
    """Make the databases that are not there yet; it must be ready."""
    there = sql(place, "postgres", "select datname from pg_database").split()
    for name in DATABASES:
        if name not in there:
            sql(place, "postgres", f"create database {name}")


def sql(place: Place, database: str, statement: str) -> str:
    """Have one statement run; what it answers, without a frame."""
    words = ["--no-psqlrc", "--tuples-only", "--no-align", "--dbname", database, "--command", statement]
    return checked([program("psql"), *_at(place), *words], _with_password(place), "psql", STEP_S)


def dump(place: Place, database: str, path: Path) -> None:
    """Write all of a database to a file, as it is at one moment."""
    words = ["--format", "custom", "--file", str(path), database]
    checked([program("pg_dump"), *_at(place), *words], _with_password(place), "pg_dump", DUMP_S)


def load(place: Place, database: str, path: Path) -> None:
    """Have a database be what a file says, whatever it was; nobody may be connected to it.

    It is made beside the old one, which stays where that fails.
    """
    made = f"{database}_restored"
    sql(place, "postgres", f"drop database if exists {made} with (force)")
    sql(place, "postgres", f"create database {made}")
    words = ["--exit-on-error", "--single-transaction", "--dbname", made, str(path)]
    checked([program("pg_restore"), *_at(place), *words], _with_password(place), "pg_restore", DUMP_S)
    sql(place, "postgres", f"drop database if exists {database} with (force)")
    sql(place, "postgres", f"alter database {made} rename to {database}")


def program(name: str) -> str:
    """The path of one of its programs, of the newest version that is installed.

    Raises:
        TercetError: it is not.
    """
    found = [path for path in DEBIAN.glob(f"*/bin/{name}") if path.parts[-3].isdecimal()]
    if found:
        return str(max(found, key=lambda path: int(path.parts[-3])))
    if path := shutil.which(name):
        return path
    raise TercetError("PostgreSQL is not installed: `sudo apt-get install postgresql`, or as this system does")


def as_user(command: list[str]) -> list[str]:
    """The same command; where we are root, run by PostgreSQL's own user.

    Raises:
        TercetError: there is no such user.
    """
    if os.geteuid() != 0:
        return command
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        raise TercetError(
            f"PostgreSQL does not run as root, and there is no user {SYSTEM_USER!r}: `apt-get install postgresql` "
            "makes it; or be another user"
        ) from None
    return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", *command]


def _give(*given: Path) -> None:
    if os.geteuid() == 0:
        entry = pwd.getpwnam(SYSTEM_USER)
        for path in given:
            os.chown(path, entry.pw_uid, entry.pw_gid)


def _check_reach(folder: Path) -> None:
    if told(as_user(["test", "-x", str(folder)]), timeout_s=STEP_S, what="test", error=TercetError).code:
        raise TercetError(
            f"{folder.parent}: PostgreSQL's user {SYSTEM_USER!r} may not enter it, as a folder above is closed to "
            "others: `chmod o+x` that one, or be another user than root"
        )


def plain() -> dict[str, str]:
    """This process's environment without what would lead its programs elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _at(place: Place) -> list[str]:
    return ["--host", HOST, "--port", str(place.ports["postgres"]), "--username", USER]


def _with_password(place: Place) -> dict[str, str]:
    return plain() | {"PGPASSWORD": place.secrets["postgres"]}


def _answers(place: Place) -> bool:
    asked = [program("pg_isready"), "--quiet", "--host", HOST, "--port", str(place.ports["postgres"])]
    return told(asked, timeout_s=STEP_S, what="pg_isready", error=TercetError, environment=plain()).code == 0
