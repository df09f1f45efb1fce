"""The code that a module runs: what is in its closure, and which edits of it count."""

import textwrap
from importlib.metadata import EntryPoint, version

import pytest

from tasks import closure, paths, syntax
from tasks.closure import Reader

FILES = {
    "mine/__init__.py": '"""Nothing."""',
    "mine/stage.py": """
        '''A stage.'''
        import json
        from typing import TYPE_CHECKING

        import numpy as np

        from mine import kept, methods
        from mine.records import Card

        if TYPE_CHECKING:
            from mine import types

        METHODS = Registry("way", {"one": "mine.one:apply", "two": "mine.two:apply"})
        RESOURCES = ("page.txt", "shipped/main.py")
        USES = ("h5py",)


        def stage(entry):
            '''Does it.'''
            from . import lazy  # inside

            if entry is None:
                raise ValueError(f"received {entry}")
            log.info("done %s", entry)
            return 1 + Card(lazy)
    """,
    "mine/records/__init__.py": "from mine.records.card import Card\nfrom mine.records.row import Row\n",
    "mine/records/card.py": "import yaml\nclass Card: ...\n",
    "mine/records/row.py": "class Row: ...\n",
    "mine/shipped/main.py": "from . import helper\n",
    "mine/shipped/helper.py": "",
    "mine/page.txt": "page",
    "mine/one.py": "apply = Way(make='mine.late:make')\n",
    **{f"mine/{name}.py": f"{name} = 1\n" for name in ("kept", "methods", "two", "lazy", "late", "types", "other")},
}


@pytest.fixture
def package(project, monkeypatch):
    """A package of one's own, that can be imported."""
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(project))
    closure._home.cache_clear()
    yield project
    closure._home.cache_clear()


PLUGGED = (("gizmo", "gadget"), ("other", "mine.two"))


def found(members=("one",), aside=()):
    return Reader().closure(["mine.stage"], members, aside)


def test_imports_registries_and_resources_are_followed_and_nothing_else(package):
    names = {"stage", "kept", "methods", "one", "lazy", "late", "records/card", "shipped/main", "shipped/helper"}
    assert found().files.keys() == {*(f"mine/{name}.py" for name in names), "mine/page.txt"}
    assert found(("two",), ("mine.lazy",)).files.keys() ^ found().files.keys() == {
        f"mine/{name}.py" for name in ("one", "late", "two", "lazy")
    }


def test_libraries_count_by_version_where_they_shape_a_result(package, monkeypatch):
    assert found().libraries == {"h5py": version("h5py"), "numpy": version("numpy")}
    monkeypatch.setattr(closure, "installed", lambda name: "9.9" if name == "numpy" else None)
    assert found().libraries == {"h5py": None, "numpy": "9.9"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'''A stage.'''", "'''Another stage.'''"),
        ("'''Does it.'''", "'''Does\nit.'''"),
        ("  # inside", "  # within"),
        ("return 1 + Card(lazy)", "return (\n        1\n        + Card(lazy)\n    )"),
        ('f"received {entry}"', 'f"{entry} was received", 2'),
        ('log.info("done %s", entry)', 'log.warning("it is done")'),
        ('"two": "mine.two:apply"', '"two": "mine.two:other", "three": "mine.three:apply"'),
        ("from mine import types", "from mine import other"),
    ],
)
def test_what_only_people_read_and_other_members_change_nothing(package, old, new):
    before, path = found(), package / "mine/stage.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert found() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return 1 +", "return 2 +"),
        ("return 1 +", "return 1 -"),
        ("raise ValueError", "raise TypeError"),
        ('"one": "mine.one:apply"', '"one": "mine.one:other"'),
        ("def stage(entry)", "def stage(entry, more=None)"),
    ],
)
def test_what_a_file_does_changes_its_digest_alone(package, old, new):
    before, path = found(), package / "mine/stage.py"
    path.write_text(path.read_text().replace(old, new))
    assert {name for name, value in found().files.items() if before.files[name] != value} == {"mine/stage.py"}


def test_a_resource_counts_by_its_bytes(package):
    before = found()
    (package / "mine/page.txt").write_text("page ")
    assert {n for n, value in found().files.items() if before.files[n] != value} == {"mine/page.txt"}


def test_what_is_kept_says_the_same_and_saves_the_parsing(package, monkeypatch):
    first = Reader()
    before = first.closure(["mine.stage"], ("one",))
    first.keep()
    monkeypatch.setattr(closure, "parse", lambda content: pytest.fail("it was parsed before"))
    assert Reader().closure(["mine.stage"], ("one",)) == before
    paths.STATE.joinpath("parsed.json").write_text("{")
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.chdir(package)
    assert Reader().closure(["mine.stage"], ("one",)) == before


def test_a_plug_in_that_an_entry_point_names_is_ours(package, monkeypatch):
    (package / "gadget.py").write_text("import numpy\nimport mine.one\nfrom gadget_more import x\n")
    added = tuple(EntryPoint(name, f"{where}:X", "tercet.kinds") for name, where in PLUGGED)
    monkeypatch.setattr(closure, "points", lambda _path: {"tercet.kinds": added})
    assert {"gadget.py"} == found(("gizmo",)).files.keys() - found(()).files.keys() - {"mine/one.py"}


def test_digests_are_of_the_language_and_not_of_a_version_of_python():
    """Fields that a later Python adds, and that are empty, are not written down."""
    assert syntax.parse(b"def f(x): ...\n").digest == syntax.parse(b'def f(x):\n    ...\n\n\n"""at the end"""\n').digest
    tree = syntax.ast.parse("class A: ...")
    before, after = syntax._Said(), syntax._Said()
    before.take(tree)
    tree.body[0].type_params = []
    after.take(tree)
    assert before.words == after.words
    assert "decorator_list" not in after.words
