"""What Prefect's own pages show of a run, in Chromium: its tasks by name, what to ship, and every pair."""

import json
import shutil
import time
import urllib.request
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from prefect import tags
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import pipeline, stale
from flows.stale import Work
from tasks import paths, records
from tasks.params import Params
from tasks.records import Comparison, notation
from tasks.records.figures import FIGURES
from tasks.stages import report
from tests.bridge import Bridge, order
from tests.browsing import chromium
from tests.tasks.report.conftest import params, study

ROOT = Path(__file__).resolve().parents[2]
MLFLOW = "http://mlflow.example/#/experiments/1"
__all__ = ["params", "study"]  # fixtures
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def ran(server, study, params, monkeypatch) -> str:
    """The id of a run of the real flow, whose stages do nothing; what it reports is the study."""
    shutil.copytree(ROOT / "infra/devices", paths.DEVICES)
    paths.PARAMS.write_text(yaml.safe_dump(params.model_dump(mode="json", exclude_unset=True)))
    report.report(params)
    monkeypatch.setattr(pipeline, "publish", lambda _settings: None)
    monkeypatch.setattr(pipeline, "Project", lambda: Bridge(lambda *_words: None))
    monkeypatch.setattr(pipeline.track, "links", lambda: {"the comparison": MLFLOW})
    work = Work(frozenset(" ".join(words) for words in order(params)))
    with temporary_settings({PREFECT_API_URL: server.address}), tags("tercet", "digits-cnn"), stale.known(work):
        state = pipeline.pipeline(remeasure=["invalid"], return_state=True)
    assert state.is_completed(), state
    return str(state.state_details.flow_run_id)


def told(server, path: str, **about):
    body = json.dumps(about).encode()
    request = urllib.request.Request(f"{server.address}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def colours(page) -> int:
    """How many a screenshot has: a page that is not drawn has a few."""
    pixels = np.asarray(Image.open(BytesIO(page.screenshot())).convert("RGB"))
    return len(np.unique(pixels[::5, ::5].reshape(-1, 3), axis=0))


def test_the_pages_of_a_run_show_its_tasks_what_to_ship_and_every_pair(server, ran, params: Params) -> None:
    comparison = records.read(Comparison, paths.REPORT / "comparison.json")
    (run,) = told(server, "/flow_runs/filter", flow_runs={"id": {"any_": [ran]}})
    parts = {"variants": None, "devices": None, "remeasure": ["invalid"]}
    assert run["parameters"] == {"push": False, "runner": "threads", **parts}
    names, tasks, end = {f"benchmark int8 @ {name}" for name in params.benchmark.devices}, [], time.monotonic() + 60
    while len(tasks) < len(names) and time.monotonic() < end:  # the server hears of tasks by events, a little later
        time.sleep(0.2)
        tasks = told(
            server, "/task_runs/filter", flow_runs={"id": {"any_": [ran]}}, task_runs={"name": {"any_": sorted(names)}}
        )
    assert {task["name"] for task in tasks} == names
    assert {tuple(sorted(task["tags"])) for task in tasks} == {("digits-cnn", "tercet")}, "others each take seconds"
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)
        page.goto(f"{server.address.removesuffix('/api')}/runs/flow-run/{ran}")
        page.get_by_text(run["name"]).first.wait_for()
        assert {"tercet", "digits-cnn"} <= set(page.locator(".p-tag").all_inner_texts())
        page.get_by_text("Task Runs", exact=True).click()
        page.get_by_role("link", name="bundle host-cpu", exact=True).wait_for()
        assert colours(page) > 50
        page.get_by_text("Artifacts", exact=True).click()
        page.get_by_text("digits-cnn: what to ship, and every pair").click()
        page.get_by_role("heading", name="What to ship").wait_for()
        assert page.get_by_role("link", name="MLflow: the comparison").get_attribute("href") == MLFLOW
        tables = page.locator("table").all_inner_texts()
        for device, table in zip(dict.fromkeys(row.device for row in comparison.rows), tables, strict=True):
            for row in (row for row in comparison.rows if row.device == device):
                value = FIGURES["latency_ms"].of(row)
                assert row.variant in table
                assert notation.cell(FIGURES["latency_ms"], value, wide=True) in table
        assert colours(page) > 50
