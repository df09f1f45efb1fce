"""The module of a user's own layers: its files are found without running a line of it."""

import sys

import pytest

from tasks.errors import ModelError
from tasks.training import custom

CANARY = "open('canary', 'w').close()\n"


@pytest.mark.parametrize("module", ["pack", "pack.layers", "pack.inner.layers"])
def test_files_are_found_without_importing(project, monkeypatch, module):
    place = project / "elsewhere"
    for folder in (place / "pack", place / "pack" / "inner"):
        folder.mkdir(parents=True)
        for name in ("__init__.py", "layers.py"):
            (folder / name).write_text(CANARY)
    monkeypatch.syspath_prepend(place)
    found = custom.files(module)
    assert found
    assert all(path.is_relative_to(place) for path in found)
    assert not (project / "canary").exists()
    assert "pack" not in sys.modules


def test_a_module_of_the_project_comes_before_one_of_the_environment(project, monkeypatch):
    (project / "elsewhere").mkdir()
    for place in (project, project / "elsewhere"):
        (place / "layers_here.py").write_text("")
    monkeypatch.syspath_prepend(project / "elsewhere")
    assert [path.resolve() for path in custom.files("layers_here")] == [(project / "layers_here.py").resolve()]


@pytest.mark.parametrize("module", ["absent", "absent.layers", "json.absent", "sys", ".layers", "a..b"])
def test_what_is_no_module_with_files_is_one_line(project, module):
    with pytest.raises(ModelError, match=r"^layers: no Python module '"):
        custom.files(module)
