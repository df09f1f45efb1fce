"""Tercet as a user has it: a wheel, in an environment of its own, far from its repository."""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import yaml

LIMIT_S = 600.0
VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


@dataclass(frozen=True)
class Installed:
    """An environment that wheels are installed in, beside all that this one has."""

    folder: Path

    @property
    def site(self) -> Path:
        """Where its packages are."""
        return self.folder / "lib" / VERSION / "site-packages"

    def run(self, project: Path, *words: str, code: int = 0, **variables: str) -> str:
        """Run a command of it in a folder to its end; what it printed, both streams together."""
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("MLFLOW_", "PREFECT_", "DVC_", "PYTHONPATH"))}
        environment = kept | {
            "PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PREFECT_HOME": str(self.folder / "prefect"),
            "DVC_SITE_CACHE_DIR": str(self.folder / "dvc"),
        }
        done = subprocess.run(
            words, cwd=project, env=environment | variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout


def built(source: Path, folder: Path) -> Path:
    """The wheel of a package, made in `folder` as its user would make it."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=source, capture_output=True, timeout=LIMIT_S, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def installed(folder: Path, *wheels: Path) -> Installed:
    """An environment with these wheels; what they need is this environment's, of which Tercet itself is left out."""
    venv.create(folder, symlinks=True)
    own = Installed(folder)
    # a folder that is named so is not asked for its own .pth files: the editable Tercet stays out
    own.site.joinpath("here.pth").write_text(f"{Path(yaml.__file__).parents[1]}\n")
    uv = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--offline", "--no-deps"]
    command = [*uv, "--link-mode", "copy", "--python", folder / "bin" / "python", *wheels]  # links lead into its cache
    subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=True)
    return own
