"""What every test may ask for."""

import gc
import os
import sys
from collections.abc import Generator
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tasks import closure

if TYPE_CHECKING:
    from tasks.ship.delivery import Cargo

ROOT = Path(__file__).resolve().parent.parent
# Draws differ from run to run: a property holds for all of them, or the test is wrong. No time limit for one example,
# as the machine may be busy; `--hypothesis-profile=thorough` draws forty times as many.
settings.register_profile("usual", deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
settings.register_profile("thorough", settings.get_profile("usual"), max_examples=2000)
settings.load_profile("usual")
HARDWARE = "no hardware: "  # what the reason begins with where a test may be skipped in CI too
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test has failed, unless the machine lacks what no package brings."""
    return _unskipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Likewise a module that skips itself."""
    return _unskipped((yield))


def pytest_collection_finish() -> None:
    """What modules hold stays to the end, so garbage is looked for beside it: a twentieth of TensorFlow's time."""
    gc.collect()
    gc.freeze()


def _unskipped(report: Report) -> Report:
    if report.skipped and os.environ.get("CI") and isinstance(report.longrepr, tuple):  # (file, line, reason)
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(HARDWARE):
            report.outcome, report.longrepr = "failed", f"skipped in CI, where nothing may be missing: {reason}"
    return report


@pytest.fixture(autouse=True)
def _own_environment() -> Generator[None]:
    """What a command sets for its process is gone with the test that ran it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def _own_locks(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Tests wait for each other, and for nobody else who measures on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERCET_LOCKS", str(tmp_path_factory.mktemp("locks")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _parsed_once() -> Generator[None]:
    """A project keeps what its code says for its next run; here projects are new, and the code is always the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closure, "parse", cache(closure.parse))
        yield


@pytest.fixture
def golden() -> Path:
    """The folder of small files of each format, which `make.py` in it makes."""
    return ROOT / "tests" / "golden"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project root that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; a test that needs it is skipped where it is absent."""
    folder = Path(os.environ.get("TERCET_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set TERCET_DATA to the folder that holds mnist/ and sst2/")
    return folder


@pytest.fixture(scope="session")
def language_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of tests/language.py by what the models do: made once, for it takes TensorFlow's converter."""
    pytest.importorskip("tensorflow", reason="the training stack is not installed")
    from tests import language

    folder = tmp_path_factory.mktemp("language")
    made = {make.__name__: folder / f"{make.__name__}.tflite" for make in (language.attending, language.decaying)}
    for name, path in made.items():
        path.write_bytes(getattr(language, name)())
    return made


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store of MLflow, made once: that takes seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("store") / "empty.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def cargoes(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Cargo]":
    """Two bundles of one device, an old one and a new one: see tests/shipping.py."""
    from tests import shipping

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        return shipping.bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def architectures() -> ModuleType:
    """The module of random small models, tests/architectures.py: tests are no package to import it from."""
    spec = spec_from_file_location("architectures", ROOT / "tests" / "architectures.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["architectures"] = module_from_spec(spec)  # which dataclasses look for
    spec.loader.exec_module(module)
    return module
