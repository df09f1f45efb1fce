from types import SimpleNamespace

import pytest

from flows.views import table, terminal
from tasks.params import Params
from tasks.records import Comparison, Energy, Ratio, notation
from tasks.records.figures import FIGURES
from tasks.report import advice
from tasks.track import contents
from tests.phases import changed


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    def show(comparison: Comparison, columns: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "1")
        table.show(comparison)
        return capsys.readouterr().out.splitlines()

    return show


def line_of(lines: list[str], device: str, variant: str) -> str:
    start = next(i for i, line in enumerate(lines) if line.startswith(device))
    return next(line for line in lines[start:] if line.split()[:1] == [variant])


@pytest.mark.parametrize("columns", [200, 120, *range(74, 112, 2), 60, 40])
def test_lines_fit_and_nothing_is_cut(shown, comparison: Comparison, columns: int) -> None:
    lines = shown(comparison, columns)
    assert max(map(len, lines)) <= columns
    text = "".join("".join(lines).split())
    assert "…" not in text
    for row in comparison.rows:
        assert row.variant in text
        if row.measurement.status == "ok":
            assert notation.size(row.gzip_bytes).replace(" ", "") in text
            latency = FIGURES["latency_ms"]
            assert notation.cell(latency, latency.of(row), wide=False).replace(" ", "") in text
        else:
            assert row.verdict.replace(" ", "") in text


def test_the_heading_names_what_the_ratios_are_against(shown, make: SimpleNamespace) -> None:
    busy = changed(make.on_host("fp32", "host-cpu"), status="invalid", reason="the machine was busy")
    npu = [make.on_npu(variant, "ethos-u55-128") for variant in ("fp32", "int8", "pruned80-int8")]
    lines = shown(make.comparison([busy, make.on_host("int8", "host-cpu"), *npu]), 120)
    assert [line.rstrip() for line in lines if line.startswith(("host-cpu", "ethos"))] == [
        "host-cpu",
        "ethos-u55-128, against int8",
    ]


def test_a_row_without_room_is_told_in_words(shown, comparison: Comparison) -> None:
    lines = shown(comparison, 40)
    start = lines.index("int8")
    words = " ".join(lines[start + 1 : start + 4]).split()
    assert words[:8] == ["accuracy", "%", "97.5,", "latency", "ms", "●", "0.196,", "ratio"]


def test_a_pipe_has_no_width_of_its_own(comparison: Comparison, capsys, monkeypatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table.show(comparison)
    assert terminal.PIPED >= max(map(len, capsys.readouterr().out.splitlines())) > 80


def test_a_measured_line(shown, comparison: Comparison) -> None:
    words = line_of(shown(comparison, 120), "host-cpu", "int8").split()
    expected = "int8 97.5 ±1.5 ● 0.196 0.48 [0.46–0.49] ○ 0.784 (0.20–2.4) 338 kB 272 kB faster"
    assert words == expected.split()


def test_an_estimated_line_is_marked_throughout(shown, comparison: Comparison) -> None:
    line = line_of(shown(comparison, 120), "ethos-u55-128, against int8", "pruned80-int8")
    assert "●" not in line
    assert [word for word in line.split() if word in "◇○"] == ["◇", "○", "○", "○"]
    assert line.split()[4:9] == ["○", "1.61", "○", "0.88", "○"]


def test_a_refused_line_has_dashes_and_a_reason(shown, comparison: Comparison) -> None:
    lines = shown(comparison, 80)
    words = line_of(lines, "ethos-u55-128", "fp32").split()
    assert words == ["fp32", "–", "–", "–", "–", "1.23", "MB", "unsupported"]
    reason = "Unsupported: the NPU runs integers only; fp32 is float32."
    text = " ".join(" ".join(lines).split())
    assert f" fp32 @ ethos-u55-128, ethos-u85-256: {reason}" in text
    assert text.count(reason) == 1


def test_flags_failures_notes_and_the_mode_are_told(shown, comparison: Comparison) -> None:
    left_out = {"failures": ("int4: [no] such scheme",), "refused": ("int16x8: no such kernel",)}
    lines = shown(comparison.model_copy(update=left_out), 200)
    assert "cannot be made: int16x8: no such kernel" in lines
    assert line_of(lines, "host-cpu-2t", "dynamic").rstrip().endswith("faster, noisy")
    assert "failed: int4: [no] such scheme" in lines
    assert comparison.notes[0] in lines
    assert "quick mode" in lines[-1]


def test_a_comparison_without_rows_shows_its_failures(shown, comparison: Comparison) -> None:
    empty = comparison.model_copy(update={"rows": (), "notes": (), "failures": ("fp32: not trained",)})
    assert shown(empty, 80) == ["failed: fp32: not trained"]


def test_the_range_of_few_pairs_is_not_in_the_brackets_of_an_interval(make: SimpleNamespace, params: Params) -> None:
    pairs = Ratio(value=0.5, low=0.4, high=0.6, pairs=2, kind="range")
    energy = Energy(kind="counter_rapl", mj=2.0, ratio=pairs)
    row = changed(make.on_host("int8", "host-cpu"), ratio=pairs, energy=energy)
    comparison = make.comparison([make.on_host("fp32", "host-cpu"), row])
    _, int8 = comparison.rows
    told = next(each for each in advice.advise(comparison, params).devices if each.device == "host-cpu")
    ratio = FIGURES["latency_ratio"]
    assert notation.cell(ratio, ratio.of(int8), wide=True) == "0.50 (0.40–0.60)"
    assert "too few to tell a change of latency against fp32 (ratio 0.50 (0.40–0.60))" in int8.verdict
    assert any("0.50× the latency (0.40–0.60)" in sentence for sentence in advice.words(told, comparison))
    tags = contents.of_row("w", int8, {}, None).tags
    assert (tags["latency_ratio_range"], tags["energy_ratio_range"]) == ("0.4 to 0.6", "0.4 to 0.6")
    assert not {"latency_ratio_interval", "energy_ratio_interval"} & tags.keys()
