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


@pytest.mark.parametrize("module", ["tasks", "random", "sys", "tasks.training.layers", "here"])
def test_a_module_of_the_project_that_bears_the_name_of_another_is_refused(project, monkeypatch, module):
    path = project / f"{module.replace('.', '/')}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CANARY)
    elsewhere = project.with_name(f"{project.name}-elsewhere")
    elsewhere.mkdir()
    (elsewhere / "here.py").touch()
    monkeypatch.syspath_prepend(elsewhere)
    with pytest.raises(ModelError, match=rf"^layers: {path.relative_to(project)} bears the name of .*; rename it$"):
        custom.register(module)
    assert not (project / "canary").exists()


def test_no_other_file_of_the_project_is_taken_for_a_library(project):
    (project / "graphlib.py").write_text(CANARY)
    (project / "mine_alone.py").write_text("import graphlib\n\nsorter = graphlib.TopologicalSorter\n")
    before = list(sys.path)
    sys.modules.pop("graphlib", None)
    custom.register("mine_alone")
    assert sys.modules.pop("mine_alone").sorter
    assert not (project / "canary").exists()
    assert sys.path == before


@pytest.mark.parametrize("module", ["absent", "absent.layers", "json.absent", "sys", ".layers", "a..b"])
def test_what_is_no_module_with_files_is_one_line(project, module):
    with pytest.raises(ModelError, match=r"^layers: no Python module '"):
        custom.files(module)
