"""params.yaml is checked when it has changed, and not for each stage that asks for it."""

from pathlib import Path

import pytest

from tasks import params, paths

ROOT = Path(__file__).resolve().parents[3]


def test_what_has_not_changed_is_checked_once(project, monkeypatch):
    text = (ROOT / "infra" / "presets" / "smoke.yaml").read_text()
    paths.PARAMS.write_text(text.replace("name: smoke", "name: asked-often"))
    first = params.load()
    monkeypatch.setattr(params, "check", lambda *_: pytest.fail("checked again"))
    assert all(params.load() is first for _ in range(100))
    monkeypatch.undo()
    monkeypatch.chdir(project)
    paths.PARAMS.write_text(text.replace("name: smoke", "name: changed"))
    assert params.load().name == "changed"
