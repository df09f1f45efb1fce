"""Which task runner a run is asked to have, and what is told where it cannot be had."""

import ast
from pathlib import Path

import pytest

from flows.elsewhere import asked as module
from flows.elsewhere.asked import Asked, asked
from tasks.errors import ParamsError

ROOT = Path(__file__).resolve().parents[3]


def test_a_runner_is_a_name_and_an_address(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://10.0.0.1:4200/api")
    assert asked("threads") == Asked("threads")
    assert asked("dask") == Asked("dask")
    assert asked("ray@ray://10.0.0.1:10001") == Asked("ray", "ray://10.0.0.1:10001")


@pytest.mark.parametrize("text", ["", "dsk", "threads@tcp://10.0.0.1:8786", "dask@", "@tcp://10.0.0.1:8786", "Dask"])
def test_what_is_none_is_one_line_with_what_is_allowed(text, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://10.0.0.1:4200/api")
    with pytest.raises(ParamsError) as caught:
        asked(text)
    assert f"runner: received {text!r}; allowed: dask, ray, threads." in str(caught.value)


@pytest.mark.parametrize("name", ["dask", "ray"])
def test_a_package_that_is_not_installed_is_named_with_how_to_get_it(name, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    assert asked("threads") == Asked("threads")
    with pytest.raises(
        ParamsError, match=f"^runner {name}: prefect-{name} is not installed: `pip install prefect-{name}`$"
    ):
        asked(name)


def test_workers_elsewhere_need_a_server_that_they_reach(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert asked("dask") == Asked("dask")
    with pytest.raises(ParamsError, match="set PREFECT_API_URL to one that they reach"):
        asked("dask@tcp://10.0.0.1:8786")


def test_neither_engine_is_imported_before_it_is_asked_for():
    for path in (ROOT / "flows").rglob("*.py"):
        at_once = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {getattr(node, "module", None) or node.names[0].name for node in at_once}
        assert not {name.partition(".")[0] for name in names} & {
            "dask",
            "distributed",
            "ray",
            "prefect_dask",
            "prefect_ray",
        }
