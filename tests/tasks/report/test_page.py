import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import paths
from tasks.params import Params
from tasks.records import Comparison, Published
from tasks.report import page, tables
from tasks.stages.report import report

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, attributes and the text of each table row, and checks that every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "tr" in self.open:
            self.rows[-1] += data


@pytest.fixture(scope="module")
def html(comparison: Comparison) -> str:
    return page.render(comparison)


def test_the_page_needs_nothing_else_and_runs_its_own_scripts_alone(html: str) -> None:
    """What a browser does with it, test_browser.py sees."""
    parsed = Page(html)
    assert not {tag for tag, _ in parsed.tags} & {"link", "img", "iframe", "object"}
    for tag, attributes in parsed.tags:
        assert not {"src", "srcset", "data"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "a" or (attributes["href"] or "").startswith("#")
    assert not re.search(r"url\(|@import", re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', html)
    scripts = re.findall(r'<script type="module">(.*?)</script>', html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}"
    assert len(scripts) == 2
    assert len(scripts[0].encode()) <= 1.5e6, "the library"


def test_the_matrices_of_what_is_shipped_are_whole_tables(study: Path, params: Params) -> None:
    report(params)
    parsed = Page((paths.REPORT / "index.html").read_text())
    headers = [attributes.get("scope") for tag, attributes in parsed.tags if tag == "th"]
    assert all(headers)
    regions = [attributes for _, attributes in parsed.tags if attributes.get("class") == "card matrix"]
    assert regions
    assert all(region["aria-label"] and region["tabindex"] == "0" for region in regions)


def test_packed_sizes_are_told(comparison: Comparison) -> None:
    row = next(row for row in comparison.rows if row.measurement.status == "ok")
    details = {"original_weights_bytes": 8000.0, "encoded_weights_bytes": 2000.0}
    measured = row.measurement.model_copy(update={"details": details})
    changed = row.model_copy(update={"zstd_bytes": 3210, "measurement": measured})
    rows = tuple(changed if each is row else each for each in comparison.rows)
    said = page.render(comparison.model_copy(update={"rows": rows}))
    assert ">Zstd</th>" in said
    assert "3.21 kB" in said
    assert f"<dt>weights as encoded</dt><dd>{row.variant}: 2.00 kB of 8.00 kB, 4.00× smaller</dd>" in said


def test_the_limits_of_a_board_stand_beside_what_is_taken(comparison: Comparison) -> None:
    row = next(row for row in comparison.rows if row.measurement.status == "ok")
    board = {"ram": {"kib": 512.0, "beside_kib": 16, "share": 0.617}, "flash": {"kib": 2048.0, "share": 0.04}}
    measured = row.measurement.model_copy(update={"details": board})
    rows = tuple(row.model_copy(update={"measurement": measured}) if each is row else each for each in comparison.rows)
    said = page.render(comparison.model_copy(update={"rows": rows}))
    assert f"<dt>room on the board</dt><dd>{row.variant}: RAM 62% of 512 KiB, flash 4% of 2048 KiB</dd>" in said


def test_what_others_have_published_stands_apart_and_changes_no_figure(comparison: Comparison) -> None:
    row = next(row for row in comparison.rows if row.measurement.status == "ok")
    others = Published(
        network="Theirs <1>", ran_on="X, 1 thread", precision="int8", latency_ms=0.0001, energy_mj=None,
        source="some.where/else", note="said so",
    )  # fmt: skip
    measured = row.measurement.model_copy(update={"published": (others,)})
    rows = tuple(row.model_copy(update={"measurement": measured}) if each is row else each for each in comparison.rows)
    told = comparison.model_copy(update={"rows": rows})
    said = Page(page.render(told))
    (line,) = [text for text in said.rows if "some.where/else" in text]
    assert all(each in line for each in (row.variant, "Theirs <1>", "X, 1 thread", "0.00010", "said so"))
    assert tables.pairs(told) == tables.pairs(comparison)
    assert tables.points(told) == tables.points(comparison)
    assert tables.metrics(told) == tables.metrics(comparison)


def test_the_same_comparison_gives_the_same_bytes(comparison: Comparison, html: str) -> None:
    assert page.render(comparison) == html


def test_every_pair_and_its_verdict_is_there(comparison: Comparison, html: str) -> None:
    text = " ".join(Page(html).rows)
    for row in comparison.rows:
        assert row.verdict in text
    for note in comparison.notes:
        assert note in html


def test_an_estimate_never_looks_measured(comparison: Comparison, html: str) -> None:
    for row in Page(html).rows:
        if "1.84" in row:  # int8 on the NPU, in the overview and in its table
            assert re.search(r"○\s*estimated\s*1\.84", row)
            assert not re.search(r"●\s*measured\s*1\.84", row)
    energy = page.render(comparison.model_copy(update={"rows": comparison.rows[:8]}))
    assert re.search(r"○</span><span class=\"hidden\">estimated</span> 1\.65", energy)
    assert re.search(r"●</span><span class=\"hidden\">measured</span> 0\.412", energy)


def test_what_is_not_known_is_a_dash(make: SimpleNamespace) -> None:
    pairs = [make.on_npu("int8", "ethos-u55-128"), make.on_npu("fp32", "ethos-u55-128")]
    rows = Page(page.render(make.comparison(pairs))).rows
    (row,) = [row for row in rows if "fp32" in row and "ethos-u55-128" in row and "unsupported" in row]
    assert len(re.findall("–(?!\\d)", row)) == 4  # quality, latency, energy, memory


def test_a_device_where_nothing_ran_takes_a_line_with_each_reason_once(make: SimpleNamespace) -> None:
    away = [make.measurement(v, "board", status="unsupported", reason="no such host") for v in ("fp32", "int8", "fp16")]
    html = page.render(make.comparison([make.on_host("fp32", "host-cpu"), *away]))
    assert "<dt>board</dt><dd>fp32, int8, fp16: Unsupported: no such host. </dd>" in html
    assert 'id="device-board"' not in html


def test_small_figures_are_written_for_people(make: SimpleNamespace) -> None:
    busy = make.on_host("fp32", "host-cpu").model_copy(update={"environment": {"load1": 2.06982421875, "cpus": 2}})
    html = page.render(make.comparison([busy]), None, "Data: digits.")
    assert "<dt>load1</dt><dd>2.07</dd>" in html
    assert "<dt>cpus</dt><dd>2</dd>" in html
    assert '<p class="about">Data: digits.</p>' in html
    assert re.search(r"\.card \{[^}]*position: relative", html)  # else what is hidden in it widens the page


def test_tables_have_headers_and_ids_are_unique(html: str) -> None:
    tags = Page(html).tags
    assert all(attributes.get("scope") for tag, attributes in tags if tag == "th")
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {name for _, attributes in tags for name in (attributes.get("aria-labelledby") or "").split()}
    assert named <= set(ids)


def test_what_comes_from_a_device_is_escaped(make: SimpleNamespace) -> None:
    hostile = make.measurement("int8", "host-cpu", status="error", reason="<script>alert('x')</script>")
    html = page.render(make.comparison([hostile]))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert json.loads(figures(html))["rows"][0]["verdict"] == "Failed: <script>alert('x')</script>."


def test_quick_mode_is_said_and_full_mode_is_not(make: SimpleNamespace) -> None:
    quick = make.on_host("fp32", "host-cpu")
    full = quick.model_copy(update={"mode": "full"})
    assert "<strong>Quick mode.</strong>" in page.render(make.comparison([quick]))
    assert "<strong>Quick mode.</strong>" not in page.render(make.comparison([full]))


def test_failures_are_told_even_when_nothing_is_left(comparison: Comparison) -> None:
    html = page.render(comparison.model_copy(update={"rows": (), "notes": (), "failures": ("int8: op stays float",)}))
    assert "int8: op stays float" in html


def test_colours_have_the_contrast_of_wcag_aa(html: str) -> None:
    palettes = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    assert len(palettes) == 3  # light, dark, print
    for palette in palettes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]+)", palette))
        for name in ("ink", "muted", "accent", "good", "bad", "warn"):
            for ground in ("paper", "card"):
                assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def figures(html: str) -> str:
    """The block that the page's scripts read."""
    (found,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', html, re.DOTALL)
    return str(found)


def contrast(a: str, b: str) -> float:
    """WCAG 2.1's contrast ratio."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
