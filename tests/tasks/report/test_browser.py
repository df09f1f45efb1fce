"""The report as people use it: in Chromium, with a mouse, with keys, on a phone, in the dark."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tasks.params import Params
from tasks.records import Comparison, Energy, ModelCard, Operator, Row, Sensitivity
from tasks.report import advice, page, tables
from tests.browsing import PHONE, chromium, opened
from tests.phases import changed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

MARKS = "#chart svg path[aria-roledescription=point]"
REASON = "the process had a processor for only 23% of a window"
HISTORIES: dict[str, dict[str, list[float | None]]] = {
    "baseline": {"loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.2, 0.9], "val_accuracy": [0.5, 0.75, 0.875]},
    "longer": {"loss": [0.5, None], "val_accuracy": [0.875, 0.9]},
}
PAIRS = "#pairs tbody:not([hidden])"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as found:
        yield found


@pytest.fixture
def told(make: SimpleNamespace) -> Comparison:
    """The study; int8 on the processor is invalid by what was seen of it, and fp16 there tells its operators."""
    spent = [("a", "Conv", 0.3), ("b", "Conv", 0.2), ("c", "Softmax", 0.1)]
    changes = {
        "int8": {"status": "invalid", "reason": REASON},
        "fp16": {"operators": tuple(Operator(name=n, kind=kind, ran_on=None, ms=ms) for n, kind, ms in spent)},
    }
    measured = [
        m.model_copy(update=changes.get(m.variant, {}) if m.device == "host-cpu" else {}) for m in make.measurements()
    ]
    found: Comparison = make.comparison(measured)
    return found


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def write(*given: Any) -> Path:
        path = tmp_path_factory.mktemp("report") / "index.html"
        path.write_text(page.render(*given), encoding="utf-8")
        return path

    return write


@pytest.fixture
def report(make: SimpleNamespace, told: Comparison, params: Params, build: Callable[..., Path]) -> Path:
    subjects = [make.subject(variant) for variant in params.quantize]
    layers = (Sensitivity(layer="dense", operators=("FULLY_CONNECTED",), quality_drop=0.02, sqnr_db=20.0, n=140),)
    artifact = subjects[1].artifact.model_copy(update={"sensitivity": layers})
    subjects[1] = subjects[1].model_copy(update={"artifact": artifact})
    subjects = [each.model_copy(update={"model": _trained(each.model)}) for each in subjects]
    return build(told, advice.advise(told, params), "Data: digits.", (), subjects)


def _trained(card: ModelCard) -> ModelCard:
    """With what its training told; of the longer one a loss was no number."""
    told = HISTORIES.get(card.model, {})
    return card.model_copy(update={"history": {name: tuple(values) for name, values in told.items()}})


def mark(page: "Page", variant: str) -> "Locator":
    return page.locator(f'{MARKS}[aria-label^="{variant} on "]')


def picture(page: "Page") -> "np.ndarray[Any, Any]":
    """The whole page, as red, green and blue."""
    return np.asarray(Image.open(BytesIO(page.screenshot(full_page=True))).convert("RGB"))


@pytest.mark.parametrize(
    ("context", "ground"),
    [
        ({}, (252, 251, 248)),
        ({"viewport": PHONE}, (252, 251, 248)),
        ({"color_scheme": "dark"}, (20, 23, 27)),
        ({"color_scheme": "dark", "viewport": PHONE}, (20, 23, 27)),
    ],
    ids=["desktop", "phone", "dark", "dark phone"],
)
def test_how_it_looks(
    browser: "Browser", report: Path, context: dict[str, Any], ground: tuple[int, ...], told: Comparison
) -> None:
    with opened(browser, report, **context) as shown:
        mark(shown, "fp32").wait_for()
        pixels = picture(shown)
        assert tuple(pixels[2, 2]) == ground
        assert len(np.unique(pixels[::5, ::5].reshape(-1, 3), axis=0)) > 50, "nothing is drawn"
        assert shown.evaluate("document.documentElement.scrollWidth") == shown.evaluate("innerWidth")
        assert shown.locator("h2").first.text_content() == "What to ship"
        box = shown.locator("#chart svg").bounding_box()
        assert box
        assert 0 <= box["x"] < box["x"] + box["width"] <= shown.evaluate("innerWidth")
        assert shown.locator(MARKS).count() == shown.locator("#pairs tbody:visible").count() == 8
        words = shown.locator("main").inner_text()
        assert all(row.verdict in words for row in told.rows if row.device == "host-cpu")


def test_a_point_leads_to_its_reason_and_to_what_measures_it_again(browser: "Browser", report: Path) -> None:
    with opened(browser, report, permissions=["clipboard-read", "clipboard-write"]) as shown:
        shown.locator("[data-state=device]").select_option("host-cpu-2t")
        assert shown.locator(PAIRS).count() == 8
        shown.locator("[data-state=device]").select_option("host-cpu")
        mark(shown, "int8").hover()
        assert REASON in shown.locator("#vg-tooltip-element").inner_text()
        mark(shown, "int8").click()
        detail = shown.locator("#detail")
        detail.get_by_role("heading", name="int8 on host-cpu: invalid").wait_for()
        assert REASON in detail.inner_text()
        detail.get_by_role("button", name="Copy").click()
        detail.get_by_role("button", name="Copied").wait_for()
        copied = shown.evaluate("navigator.clipboard.readText()")
        assert copied == "dvc repro --single-item --force benchmark@int8-host-cpu"


def test_the_answer_leads_to_its_pair(browser: "Browser", report: Path, told: Comparison, params: Params) -> None:
    choices = {each.device: each.choice for each in advice.advise(told, params).devices}
    with opened(browser, report) as shown:
        for device, choice in choices.items():
            assert choice
            shown.get_by_role("link", name=f"Show {choice.champion} among all of {device}", exact=True).click()
            shown.locator("#detail").get_by_role("heading", name=f"{choice.champion} on {device}: ").wait_for()
            assert shown.locator("#pairs tbody.chosen").get_attribute("data-id") == f"{choice.champion}@{device}"


def test_what_is_measured_estimated_and_invalid_differs_in_shape(browser: "Browser", report: Path) -> None:
    def shape(name: str) -> tuple[str, str]:
        path = mark(shown, name).get_attribute("d") or ""
        return re.sub(r"[-\d.,\s]+", "", path), mark(shown, name).get_attribute("fill") or ""

    with opened(browser, report) as shown:
        mark(shown, "fp32").wait_for()
        measured, invalid, reference = shape("fp16"), shape("int8"), shape("fp32")
        shown.locator("[data-state=x]").select_option("energy_mj")
        shown.wait_for_function("document.querySelector('#chart svg')?.textContent.includes('millijoules')")
        estimated = shape("fp16")
    assert len({measured[0], invalid[0], reference[0]}) == 3
    assert measured[0] == estimated[0]
    assert measured[1] != "transparent"
    assert estimated[1] == invalid[1] == "transparent"


def test_a_link_restores_the_view(browser: "Browser", report: Path) -> None:
    with opened(browser, report, permissions=["clipboard-read", "clipboard-write"]) as shown:
        shown.locator("[data-state=device]").select_option("")
        shown.locator("[data-state=scheme]").select_option("int8")
        shown.get_by_label("only the front").check()
        shown.locator("[data-state=x]").select_option("gzip_bytes")
        shown.locator("#pairs").get_by_role("button", name="Gzip").click()
        shown.locator("#pairs").get_by_role("button", name="Gzip").click()
        seen = shown.locator(PAIRS).all_inner_texts()
        shown.get_by_role("button", name="Copy link").click()
        shown.get_by_role("button", name="Copied").wait_for()
        link = shown.evaluate("navigator.clipboard.readText()")
    sizes = [float(size) for text in seen for size in re.findall(r"([\d.]+) kB", text)[1::2]]
    assert len(seen) > 2
    assert sizes == sorted(sizes, reverse=True)
    with opened(browser, report, f"#{link.partition('#')[2]}") as again:
        assert again.locator(PAIRS).all_inner_texts() == seen
        again.get_by_role("button", name="Reset").click()
        assert again.locator(PAIRS).count() == 8


def test_every_filter_keeps_what_it_says(browser: "Browser", report: Path, told: Comparison) -> None:
    wanted = {
        "device=&status=invalid": [r for r in told.rows if r.measurement.status == "invalid"],
        "device=&model=pruned80": [r for r in told.rows if r.model == "pruned80"],
        "device=ethos-u55-128&text=CLUSTERED": [
            r for r in told.rows if r.device == "ethos-u55-128" and "clustered" in r.variant
        ],
        "device=host-cpu&front=1": [r for r in told.rows if r.device == "host-cpu" and "latency_ms" in r.fronts],
    }
    with opened(browser, report) as shown:
        for at, rows in wanted.items():
            shown.evaluate("at => { location.hash = at }", at)
            shown.get_by_text(f"{len(rows)} of 32 pairs", exact=True).wait_for()
            ids = shown.locator(PAIRS).evaluate_all("all => all.map(each => each.dataset.id)")
            assert ids == [f"{row.variant}@{row.device}" for row in rows]


def test_how_training_went_is_a_line_for_each_model(browser: "Browser", report: Path) -> None:
    def points() -> dict[str, list[list[float]]]:
        labels = shown.locator("#curves-chart path[aria-roledescription=point]").evaluate_all(
            "all => all.map(each => each.getAttribute('aria-label'))"
        )
        found: dict[str, list[list[float]]] = {}
        for label in labels:
            epoch, value, model = (part.rpartition(": ")[2] for part in label.split("; ")[:3])
            found.setdefault(model, []).append([float(epoch), float(value)])
        return found

    def expected(measure: str) -> dict[str, list[list[float]]]:
        told = {model: enumerate(each.get(measure, []), 1) for model, each in HISTORIES.items()}
        found = {model: [[i, v] for i, v in values if v is not None] for model, values in told.items()}
        return {model: values for model, values in found.items() if values}

    with opened(browser, report) as shown:
        chart = shown.locator("#curves-chart svg")
        chart.wait_for()
        assert points() == expected("val_accuracy"), "what is judged on, at first"
        for measure in ("loss", "val_loss"):
            shown.locator("#measure").select_option(measure)
            shown.wait_for_function(
                "name => document.querySelector('#curves-chart svg')?.textContent.includes(name)", arg=measure
            )
            assert points() == expected(measure)


def test_where_the_time_goes_and_which_layers_feel_it(browser: "Browser", report: Path) -> None:
    with opened(browser, report, "#row=fp16@host-cpu") as shown:
        charts = shown.locator("#detail .bars svg")
        charts.nth(1).wait_for()
        assert [text for text in ("Conv", "Softmax") if text in (charts.nth(0).text_content() or "")] == [
            "Conv",
            "Softmax",
        ]
        bars = charts.nth(0).locator("path[aria-roledescription=bar]")
        assert bars.evaluate_all("all => all.map(each => each.getAttribute('aria-label'))") == [
            "ms, while profiled: 0.5; name: Conv", "ms, while profiled: 0.1; name: Softmax",
        ]  # fmt: skip
        assert "dense" in (charts.nth(1).text_content() or "")


def test_keys_are_enough(browser: "Browser", report: Path) -> None:
    with opened(browser, report) as shown:
        seen = []
        for _ in range(60):
            shown.keyboard.press("Tab")
            said = shown.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
            seen.append(said)
            if said == "dynamic":
                break
        assert any(said.startswith("Device") for said in seen)
        assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        shown.keyboard.press("Enter")
        shown.get_by_role("heading", name="dynamic on host-cpu: faster").wait_for()


def test_a_year_and_a_battery_are_what_arithmetic_says(browser: "Browser", report: Path, told: Comparison) -> None:
    mj = next(r for r in told.rows if r.variant == "fp32" and r.device == "host-cpu").measurement.energy.mj
    assert mj
    with opened(browser, report) as shown:
        for name, power in {"wh": 1, "rate": 3, "devices": 2, "price": -1}.items():
            slider = shown.locator(f"[data-power={name}]")
            slider.fill(str(power))
        line = shown.locator("#uses tr", has=shown.locator("th", has_text=re.compile(r"^fp32@host-cpu")))
        cells = [float(text.split()[0].replace(",", "")) for text in line.locator("td").all_inner_texts()[1:]]
    days = 10 * 3600 / (mj / 1000 * 1000 * 24)
    kwh = mj / 1000 * 1000 * 24 * 365 * 100 / 3.6e6
    assert cells == pytest.approx([days, kwh, 0.1 * kwh], rel=0.006)


def test_what_changed_since_a_run_is_told(
    browser: "Browser", report: Path, told: Comparison, build: Callable[..., Path], tmp_path: Path
) -> None:
    before = tables.metrics(told)
    before["fp32"]["host-cpu"]["latency_ms"] *= 2
    before["gone"] = {"host-cpu": {"latency_ms": 1.0}}
    file = tmp_path / "metrics.json"
    file.write_text(json.dumps(before))
    with opened(browser, report) as shown:
        shown.get_by_label("Earlier report").set_input_files(file)
        shown.get_by_text("2 figures differ.").wait_for()
        lines = shown.locator("#changed tbody tr").all_inner_texts()
        assert [line.split("\t")[0] for line in lines] == ["gone@host-cpu", "fp32@host-cpu"]
        assert "−50 %, better" in lines[1]
        shown.get_by_label("Earlier report").set_input_files(report)
        shown.get_by_text("Every figure is the same.").wait_for()
        file.write_text("[")
        shown.get_by_label("Earlier report").set_input_files(file)
        shown.get_by_text("neither a report nor a metrics.json").wait_for()


def test_what_cannot_be_compared_with_a_run_says_why(
    browser: "Browser", report: Path, told: Comparison, build: Callable[..., Path], tmp_path: Path
) -> None:
    def changes(before: Path) -> dict[str, str]:
        with opened(browser, report) as shown:
            shown.get_by_label("Earlier report").set_input_files(before)
            shown.get_by_text("figures differ.").wait_for()
            lines = [line.split("\t") for line in shown.locator("#changed tbody tr").all_inner_texts()]
        return {f"{pair} {figure}": change for pair, figure, _, _, change in lines}

    before = tables.metrics(told)
    before["int8"]["host-cpu"] = {"latency_ms": 0.2}
    before["dynamic"]["host-cpu"]["energy_mj"] = 0.0
    (file := tmp_path / "metrics.json").write_text(json.dumps(before))
    assert changes(file) == {"int8@host-cpu Latency ms": "lost", "dynamic@host-cpu Energy mJ": "worse"}

    def earlier(row: Row) -> Row:
        counted = changed(row.measurement, energy=Energy(kind="counter_rapl", mj=9.0))
        own = counted if row == told.rows[0] else row.measurement
        return row.model_copy(update={"metric": "f1", "measurement": own})

    found = changes(build(told.model_copy(update={"rows": tuple(map(earlier, told.rows))})))
    assert found.pop("fp32@host-cpu Energy mJ").endswith(" %, other source")
    assert set(found.values()) == {"new"}
    assert all(name.endswith("ccuracy %") for name in found), "judged by another metric then"


def test_without_scripts_the_answer_and_every_pair_are_there(
    browser: "Browser", report: Path, told: Comparison
) -> None:
    with opened(browser, report, java_script_enabled=False) as shown:
        words = shown.locator("main").inner_text()
        assert all(row.verdict in words for row in told.rows)
        assert not shown.locator("#chart").is_visible()


@pytest.mark.parametrize("context", [{}, {"color_scheme": "dark", "viewport": PHONE}], ids=["desktop", "dark phone"])
def test_axe_finds_nothing(browser: "Browser", report: Path, context: dict[str, Any]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    with opened(browser, report, "#row=fp16@host-cpu", **context) as shown:
        shown.locator("#detail .bars svg").nth(1).wait_for()
        for details in shown.locator("details").all():
            details.evaluate("each => { each.open = true }")
        found = Axe().run(shown).response
    assert len(found["passes"]) > 15
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []


def many(told: Comparison, variants: int, devices: int) -> Comparison:
    """As many pairs, each a copy of one of the study."""
    own = [row for row in told.rows if row.measurement.status == "ok"]
    rows = [
        own[(i * devices + j) % len(own)].model_copy(update={"variant": f"variant-{i}", "device": f"device-{j}"})
        for j in range(devices)
        for i in range(variants)
    ]
    return told.model_copy(update={"rows": tuple(rows)})


def test_fifty_variants_on_ten_devices_open_at_once(
    browser: "Browser", told: Comparison, build: Callable[..., Path], tmp_path: Path
) -> None:
    """Within 2 s, or, where the machine is slow or busy, in three times what the study's own page takes there."""
    few, file = shutil.copy(build(told), tmp_path / "few.html"), build(many(told, 50, 10))
    assert file.stat().st_size < 5e6
    took: dict[Path, list[float]] = {few: [], file: []}
    for _ in range(3):  # another process may have the processor: the best is the page's own
        for each in took:
            start = time.monotonic()
            with opened(browser, each) as shown:
                shown.locator(MARKS).first.wait_for()
                took[each].append(time.monotonic() - start)
                assert each == few or shown.locator(PAIRS).count() == 50
        if took[file][-1] < 2:
            break
    assert min(took[file]) < max(2, 3 * min(took[few]))


def test_a_thousand_pairs_are_filtered_at_once(
    browser: "Browser", told: Comparison, build: Callable[..., Path]
) -> None:
    clock = """async (value) => {
        const select = document.querySelector('[data-state=scheme]');
        const start = performance.now();
        select.value = value;
        select.dispatchEvent(new Event('input', {bubbles: true}));
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        return performance.now() - start;
    }"""
    schemes = ("int8", "", "float32", "int8", "", "float32")
    with opened(browser, build(many(told, 5, 4)), "#device=") as shown:
        shown.locator(MARKS).first.wait_for()
        few = [shown.evaluate(clock, scheme) for scheme in schemes]
    pairs = many(told, 50, 20)
    with opened(browser, build(pairs), "#device=") as shown:
        shown.locator("#chart canvas").wait_for()
        took = []
        for scheme in schemes:
            took.append(shown.evaluate(clock, scheme))
            kept = sum(row.scheme == scheme or not scheme for row in pairs.rows)
            assert shown.locator("#count").text_content() == f"{kept} of 1000 pairs"
            assert shown.locator(PAIRS).count() == 100
        assert sorted(took)[1] < max(200, 4 * sorted(few)[1]), (took, few)  # where the machine is slow, few are too
        shown.get_by_role("button", name="Show all of them").click()
        assert shown.locator(PAIRS).count() == kept
