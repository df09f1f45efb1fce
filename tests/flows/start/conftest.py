"""The trivial project, with its stages called in the test's own process."""

import pytest

from flows.start import dvc_bridge
from tests.trivial import STAGES, make


@pytest.fixture
def calls(project, monkeypatch, tmp_path):
    """The project is the working directory, and the bridge is as fresh as in a new process; which stages it called."""
    make(project)
    scope = {"__name__": "stages"}
    exec(compile(STAGES, "stages", "exec"), scope)  # the test's own text
    done = []

    def call(*words):
        done.append(words)
        scope["call"](*words)

    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / ".site"))
    monkeypatch.setattr(dvc_bridge, "call", call)
    return done
