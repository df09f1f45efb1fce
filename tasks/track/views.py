"""Saved views of MLflow's runs: what its pages show at once, instead of every column and chart by the alphabet.

A view is a tag of the experiment, as MLflow's own "share" button makes one, and its address says the tag's name. Its
form is that of MLflow's pages, not of its API: a test opens each in a browser.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from tasks.records import Comparison, Row
from tasks.records.figures import QUALITY, told

TAG = "mlflow.sharedViewState."  # and the view's key
MEASURED = "tags.kind = 'measurement' and tags.superseded = 'false'"
COSTS = ("latency_ms", "token_ms", "energy_mj", "energy_mj_per_token", "gzip_bytes")  # that quality is drawn against
COLUMNS = ("memory_kib",)  # beside the figures that a terminal has room for
DEVICES = "devices"  # the key of the view that is grouped by them


@dataclass(frozen=True)
class View:
    """One view: its key, what it is called, how it is shown, and the state of the pages as JSON."""

    key: str
    title: str
    mode: Literal["TABLE", "CHART"]
    state: str

    def address(self, experiment: str) -> str:
        """Its address within MLflow's pages."""
        shown = f"viewStateShareKey={quote(self.key, safe='')}&compareRunsMode={self.mode}"
        return f"#/experiments/{experiment}/runs?{shown}"


def views(comparison: Comparison) -> tuple[View, ...]:
    """The comparison as a whole, grouped by device, and of each device with its charts; none where nothing ran.

    Where there are several seeds, the means over them stand first.
    """
    ran = [row for row in comparison.rows if row.measurement.status == "ok"]
    if not ran:
        return ()
    metrics = [ran[0].metric if each.key == QUALITY else each.key for each in told(ran) if _shown(each.key, each.room)]
    about = {"params": ["variant", "device"], "metrics": metrics, "tags": ["outcome", "flags"]}
    grouped = {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": "device"}]}
    found = [View("seeds", "over seeds", "TABLE", _over_seeds(ran))] if any(row.over_seeds for row in ran) else []
    found += [
        View("comparison", "the comparison", "TABLE", _state(MEASURED, about)),
        View(DEVICES, "by device", "TABLE", _state(MEASURED, about, groupBy=grouped)),
    ]
    for device in dict.fromkeys(row.device for row in ran):
        only, own = f"{MEASURED} and params.device = '{device}'", [row for row in ran if row.device == device]
        known = [ran[0].metric if each.key == QUALITY else each.key for each in told(own)]
        state = _state(only, about, **_charts(device, known))
        found.append(View(f"device-{device}", device, "CHART", state))
    return tuple(found)


def _shown(key: str, room: str) -> bool:
    return room == "terminal" or key in COLUMNS


def _over_seeds(ran: Sequence[Row]) -> str:
    """The runs of means: each figure that a terminal has room for, with its interval, as a tag has both.

    MLflow's table has metrics to the left of tags: with them the intervals would lie beyond its edge.
    """
    figures = [each for each in told(ran) if each.room == "terminal" and any(each.key in row.over_seeds for row in ran)]
    metrics = [ran[0].metric if each.key == QUALITY else each.key for each in figures]
    about = {"params": ["variant", "device"], "tags": [*(f"{key}_over_seeds" for key in metrics), "seeds"]}
    return _state(MEASURED.replace("measurement", "seeds"), about)


def _state(searched: str, about: dict[str, list[str]], **more: Any) -> str:
    """What the pages keep of a view: the search, the columns, and what else is not as usual."""
    columns = [f"{kind}.`{name}`" for kind, names in about.items() for name in names]
    usual = {"orderByKey": "attributes.start_time", "orderByAsc": False, "lifecycleFilter": "Active"}
    shown = {"selectedColumns": columns, "runsHiddenMode": "SHOW_ALL", "groupBy": None}
    return json.dumps({"searchFilter": searched, **usual, **shown, **more}, separators=(",", ":"))


def _charts(device: str, known: Sequence[str]) -> dict[str, Any]:
    """Quality against each cost, and a bar chart of each."""
    quality, costs = known[0], [key for key in COSTS if key in known]
    section = {"uuid": "tercet", "name": device, "display": True}
    usual = {"metricSectionId": "tercet", "deleted": False, "isGenerated": False}
    axes = [{"xaxis": {"key": key, "type": "METRIC"}, "yaxis": {"key": quality, "type": "METRIC"}} for key in costs]
    scatters = [{"type": "SCATTER", "runsCountToCompare": 100, **each} for each in axes]
    bars = [{"type": "BAR", "runsCountToCompare": 100, "metricKey": key} for key in (quality, *costs)]
    charts = [{"uuid": f"tercet-{i}", **usual, **chart} for i, chart in enumerate([*scatters, *bars])]
    return {
        "compareRunCharts": charts,
        "compareRunSections": [{**section, "isReordered": True, "deleted": False, "isGenerated": False}],
    }
