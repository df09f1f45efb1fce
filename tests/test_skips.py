"""In CI a test that is skipped for want of a package has failed; nothing else changes."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
HERE = Path(__file__).parent
TESTS = """
import pytest

def test_of_a_program():
    pytest.skip("no sshd")

@pytest.mark.skipif(True, reason="gcc is not installed")
def test_of_a_mark():
    pass

def test_of_a_board():
    pytest.skip("no hardware: no GPU")

@pytest.mark.xfail
def test_of_what_is_not_done():
    raise ValueError

def test_of_all():
    pass
"""


@pytest.mark.parametrize(
    ("ci", "found"),
    [
        ("true", {"failed": 1, "errors": 1, "skipped": 1, "xfailed": 1, "passed": 1}),
        ("", {"skipped": 3, "xfailed": 1, "passed": 1}),
    ],
    ids=["in CI", "elsewhere"],
)
def test_a_skip(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, found: dict[str, int]) -> None:
    monkeypatch.setenv("CI", ci)
    pytester.makeconftest((HERE / "conftest.py").read_text())
    pytester.makepyfile(TESTS)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(**found)


def test_a_module_that_skips_itself(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    pytester.makeconftest((HERE / "conftest.py").read_text())
    pytester.makepyfile("import pytest\npytest.importorskip('absent', reason='absent is not installed')\n")
    pytester.runpytest_subprocess().stdout.fnmatch_lines(["*nothing may be missing: absent is not installed*"])
