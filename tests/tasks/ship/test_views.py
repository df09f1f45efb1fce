"""MLflow's own pages in Chromium: what `tercet ui` opens, by the links that it prints."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
from PIL import Image

from tasks import paths, track
from tasks.params import Params
from tasks.records import Comparison, Row, read
from tasks.records.figures import FIGURES
from tasks.report import page
from tasks.track import contents, saved, views
from tests.browsing import chromium

Store = Any  # of conftest.py
MakeRow = Callable[..., Row]


@contextmanager
def served(command: track.Command, log: Path) -> Iterator[None]:
    """The pages, once they answer."""
    with log.open("wb") as out:
        environment = os.environ | command.environment
        process = subprocess.Popen(command.argv, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        for _ in range(240):
            try:
                urlopen(command.address, timeout=5).close()
                break
            except (URLError, OSError):
                assert process.poll() is None, log.read_text()
                time.sleep(0.5)
        yield
    finally:
        for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            each.kill()
        process.wait(20)


def test_a_view_is_saved_for_each_device_and_told_where_it_is_saved(store: Store, params: Params) -> None:
    assert track.ui().views == {}, "nothing is published yet"
    track.publish(params)
    experiment = store.client.get_experiment_by_name("digits-cnn")
    kept = {key.removeprefix(views.TAG): json.loads(text) for key, text in experiment.tags.items() if views.TAG in key}
    assert list(kept) == ["comparison", "devices", "device-host-cpu", "device-ethos-u55-128"]
    for key, state in kept.items():
        found = store.client.search_runs([experiment.experiment_id], state["searchFilter"])
        device = key.removeprefix("device-")
        wanted = {f"{variant} @ {each}" for variant in ("float32", "int8") for each in params.benchmark.devices}
        assert {run.info.run_name for run in found} == {name for name in wanted if device == key or device in name}
        columns = [name.split("`")[1] for name in state["selectedColumns"] if name.startswith("metrics.")]
        assert {"accuracy", "latency_ms", "gzip_bytes"} <= set(columns) <= set().union(*(r.data.metrics for r in found))
    charts = kept["device-host-cpu"]["compareRunCharts"]
    assert [c["xaxis"]["key"] for c in charts if c["type"] == "SCATTER"] == ["latency_ms", "gzip_bytes"]
    assert track.publish(params).sent == 0
    told = track.ui().views
    assert list(told) == ["the comparison", "by device", *params.benchmark.devices]
    assert all(f"/#/experiments/{experiment.experiment_id}/runs?" in address for address in told.values())


def test_another_server_and_a_damaged_note_have_no_views(
    store: Store, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved.keep("http://me:secret@one", {"the comparison": "#/experiments/3/runs"})
    assert "secret" not in saved.VIEWS.read_text()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://two")
    assert track.ui() == track.Address("http://two")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@one")
    assert track.ui().views == {"the comparison": "http://one/#/experiments/3/runs"}
    for damage in ("[", "[]", '{"uri": "http://one"}', '{"uri": "http://one", "views": []}'):
        saved.VIEWS.write_text(damage)
        assert track.ui().views == {}


def test_a_view_of_every_figure_is_not_too_long_for_a_tag(make_row: MakeRow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "told", lambda _: list(FIGURES.values()))
    row = make_row(device="d" * 64)
    found = views.views(Comparison(name="n", reference="float32", rows=(row,)))
    assert len(found) == 3
    assert max(len(view.state) for view in found) <= contents.LONGEST


def test_nothing_that_ran_has_no_view(make_row: MakeRow) -> None:
    row = make_row(status="error", reason="away", latency_ms=None)
    assert views.views(Comparison(name="n", reference="float32", rows=(row,))) == ()


def test_the_pages_open_on_what_was_chosen(store: Store, params: Params, tmp_path: Path) -> None:
    """In Chromium, by the links that `tercet ui` prints and by those of the run that holds the report."""
    comparison = read(Comparison, paths.REPORT / "comparison.json")
    (paths.REPORT / "index.html").write_text(page.render(comparison), encoding="utf-8")
    track.publish(params)
    command, run = track.ui(), store.runs()["report"].info
    assert isinstance(command, track.Command)
    with served(command, tmp_path / "ui.log"), chromium() as browser:
        shown = browser.new_page(viewport={"width": 2200, "height": 1000})
        shown.set_default_timeout(30_000)
        shown.goto(command.views["the comparison"])
        names = shown.get_by_role("link", name=re.compile(" @ "))
        names.nth(3).wait_for()
        assert sorted(names.all_inner_texts()) == sorted(f"{row.variant} @ {row.device}" for row in comparison.rows)
        for metric in ("accuracy", "latency_ms", "gzip_bytes"):
            shown.locator(f"[role=columnheader][col-id='metrics.`{metric}`']").wait_for()
        picture = np.asarray(Image.open(BytesIO(shown.screenshot())).convert("RGB"))
        assert len(np.unique(picture[::5, ::5].reshape(-1, 3), axis=0)) > 50
        shown.goto(command.views["by device"])
        shown.get_by_text("Group: host-cpu").wait_for()
        where = f"{command.address}/#/experiments/{run.experiment_id}/runs/{run.run_id}"
        shown.goto(f"{where}/artifacts/index.html")
        report = shown.frame_locator("iframe")
        report.locator("#chart svg").wait_for()
        assert "float32" in report.locator("#pairs").inner_text()
        shown.goto(where)
        shown.get_by_text("Show more").click()
        with shown.context.expect_page() as another:
            shown.get_by_role("link", name="ethos-u55-128").click()
        runs = another.value.get_by_role("link", name=re.compile(" @ "))
        runs.nth(1).wait_for()
        assert set(runs.all_inner_texts()) == {"int8 @ ethos-u55-128", "float32 @ ethos-u55-128"}
        another.value.locator(".js-plotly-plot").nth(3).wait_for()
