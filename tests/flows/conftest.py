"""A copy of the project that a test may run, break and kill, with an environment of its own."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from flows import cli
from flows.start import prefect_server
from flows.start.prefect_server import Server
from tests.busy import SHOTS, counted
from tests.installed import Installed, built, installed
from tests.terminals import Terminal

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LIMIT_S = 600.0  # of one command
WHEN = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")  # one revision
RAN = re.compile(r"^\[\d+/\d+\] (?P<label>.+): (?P<outcome>ran|restored|up to date) in [0-9.]+ s$", re.MULTILINE)


@dataclass(frozen=True)
class Clone:
    """A working copy with git's history of one commit and without outputs; `enter` leads a command to its disk."""

    root: Path
    env: dict[str, str]
    enter: tuple[str, ...] = ()

    def run(self, *words: str, code: int = 0, env: dict[str, str] | None = None) -> str:
        """Run a command of the environment to its end; what it printed, both streams together.

        One that stands still ends with what each of its threads is at.
        """
        with self.started(*words, env={"PYTHONFAULTHANDLER": "1"} | (env or {})) as (process, log):
            try:
                found = process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)
                found = process.wait(30)
        said = log.read_text()
        assert found == code, f"{' '.join(words)} ended with {found}:\n{said}"
        return said

    @contextmanager
    def started(
        self, *words: str, env: dict[str, str] | None = None
    ) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
        """A command that leads a process group, and the file that it prints to; all of it ends with the block."""
        log = self.root.parent / f"{words[0]}-{len(list(self.root.parent.glob('*.log')))}.log"
        command = [*self.enter, str(BIN / words[0]), *words[1:]]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.root, env=self.env | (env or {}), stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            yield process, log
        finally:
            kill(process)

    def change(self, change: Callable[[dict[str, Any]], None]) -> str:
        """Change params.yaml in place; returns the text that it had."""
        path = self.root / "params.yaml"
        before = path.read_text()
        params = yaml.safe_load(before)
        change(params)
        path.write_text(yaml.safe_dump(params, sort_keys=False))
        return before

    def lock(self) -> dict[str, Any]:
        """dvc.lock, parsed: its stages by name."""
        stages: dict[str, Any] = yaml.safe_load((self.root / "dvc.lock").read_text())["stages"]
        return stages

    def hashes(self, *folders: str) -> dict[str, str]:
        """The SHA-256 of every file below these folders."""
        files = [path for folder in folders for path in sorted((self.root / folder).rglob("*")) if path.is_file()]
        return {str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process and its descendants with no chance to clean up."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def outcomes(said: str) -> dict[str, set[str]]:
    """What a run says of its stages: {"ran": {"prepare", …}, "restored": …, "up to date": …}."""
    found: dict[str, set[str]] = {"ran": set(), "restored": set(), "up to date": set()}
    for match in RAN.finditer(said):
        found[match["outcome"]].add(match["label"])
    return found


def copied(folder: Path) -> Clone:
    """A fresh copy of the project in a folder: what git has and what it would add, on the preset `smoke`.

    A machine that is busy spoils no measurement there, see `busy.counted`.
    """
    root, temporary = folder / "tercet", folder / "tmp"
    temporary.mkdir()
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    for name in names.rstrip("\0").split("\0"):
        if (ROOT / name).is_file() and name != "dvc.lock":  # of runs in the working copy itself
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    counted(root)
    shutil.copy2(root / "infra" / "presets" / "smoke.yaml", root / "params.yaml")
    who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *words], cwd=root, env=os.environ | WHEN, timeout=60, check=True)
    return Clone(root, environment(root, temporary))


@pytest.fixture(scope="session")
def make_clone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Clone]:
    """Makes copies of the project, see `copied`."""
    return lambda folder=None: copied(folder or tmp_path_factory.mktemp("clone"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server as a user has one, for all tests of a process: a new one keeps a processor busy for 20 s.

    It comes up behind a proxy that answers nobody, and with a home that nobody can write to; unlike one of a run's own
    it has pages, and keeps what it is told of tasks.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefect_server, "SETTINGS", {})
        patch.setenv("PREFECT_UI_API_URL", "/api")  # wherever the port is
        patch.setenv("PREFECT_UI_STATIC_DIRECTORY", str(tmp_path_factory.mktemp("pages")))
        patch.chdir(tmp_path_factory.mktemp("prefect"))
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            patch.setenv(name, "http://127.0.0.1:9")
        patch.delenv("PREFECT_HOME", raising=False)
        patch.setenv("HOME", "/proc/nobody")
        found = Server()
        found.wait()
    yield found
    found.stop()


def environment(root: Path, temporary: Path) -> dict[str, str]:
    """The user's environment without his servers and settings; the copy's code, and homes below its own folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PREFECT_", "DVC_"))}
    return kept | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "PREFECT_HOME": str(temporary / "prefect"),
        "DVC_SITE_CACHE_DIR": str(temporary / "dvc"),
        "TMPDIR": str(temporary),  # the machine's lock too: a real measurement elsewhere would hold these runs up
    }


@pytest.fixture(scope="session", name="outcomes")
def _outcomes() -> Callable[[str], dict[str, set[str]]]:
    return outcomes


@pytest.fixture
def unmade(project: Path) -> Path:
    """A project without outputs."""
    shutil.copytree(ROOT / "infra/devices", project / "infra/devices")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, project)
    return project


@pytest.fixture
def tercet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command in this process: the exit code, what it prints, what it says on standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tercet", *words])
        code = cli.main()
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def tercet_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tercet's wheel."""
    return built(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session", name="installed")
def _installed(tercet_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """An environment with Tercet alone."""
    return installed(tmp_path_factory.mktemp("installed") / "env", tercet_wheel)


@pytest.fixture
def unspoilt(installed: Installed) -> Iterator[None]:
    """There a machine that is busy spoils no measurement, as long as the test runs."""
    text = counted(installed.site)
    yield
    (installed.site / SHOTS).write_text(text)


@pytest.fixture
def terminal(project: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts a command in a terminal of its own; all that is started ends with the test."""
    opened = []

    def start(command: Sequence[str], folder: Path = project, env: dict[str, str] | None = None) -> Terminal:
        opened.append(Terminal(command, folder, env))
        return opened[-1]

    yield start
    for each in opened:
        each.close()
