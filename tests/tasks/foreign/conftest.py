"""One process of Keras 3 for all tests: it makes the files, and answers for them in the place of many processes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.foreign import keras3
from tasks.process import Told

HERE = Path(__file__).parent
LIMIT_S = 200


@pytest.fixture(scope="session")
def _keras3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    folder = tmp_path_factory.mktemp("keras3")
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    with (folder / "chatter.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "keras3_files.py"), str(folder)], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
        try:
            line = process.stdout.readline() if process.stdout else ""
            assert line == "ready\n", (folder / "chatter.log").read_text()[-3000:]
            yield folder, process
        finally:
            process.kill()
            process.communicate(timeout=30)


def _ask(process: "subprocess.Popen[str]", **request: object) -> str:
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.fixture
def files(_keras3: tuple[Path, "subprocess.Popen[str]"], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files that Keras 3 has made; who would start it again asks the one that runs."""
    folder, process = _keras3

    def told(command: list[str], **_settings: object) -> Told:
        said = _ask(process, cwd=str(Path.cwd()), witness=command[3:])
        return Told(int(bool(said)), "", said)

    monkeypatch.setattr(keras3, "told", told)
    return folder


@pytest.fixture
def made(files: Path, _keras3: tuple[Path, "subprocess.Popen[str]"]) -> Callable[[str], Path]:
    """A function that has one more file made, of a model by its name, and returns its path."""

    def make(name: str) -> Path:
        path = files / f"{name}.keras"
        if not path.exists():
            said = _ask(_keras3[1], make=name)
            assert not said, said
        return path

    return make
