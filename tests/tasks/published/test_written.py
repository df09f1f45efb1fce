"""What a token takes by published figures of language models: each is judged by what the others have of it."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import yaml

from tasks.bench import devices
from tasks.errors import ParamsError
from tasks.published import language, power, table
from tasks.published.estimate import Estimate
from tasks.published.language import Token

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def known(name: str) -> list[Token]:
    return language.tokens(language.rows(name), name)


def test_a_start_and_a_bandwidth_come_back_from_figures_made_by_them() -> None:
    made = [Token(str(size), size, 3.0 + size / 0.5, None) for size in (1.0, 2.0, 8.0, 9.0)]
    line = language.fitted(made)
    assert (line.start_ms, line.ms_of_each) == pytest.approx((3.0, 2.0))
    assert [guess.error for guess in language.left_out(made)] == pytest.approx([0.0] * 4, abs=1e-9)
    through = language.fitted([Token(str(size), size, 2 * size * (1 + 0.1 * size), None) for size in (1.0, 2.0, 4.0)])
    assert through.start_ms == 0.0, "what starts before it begins is none"


@pytest.mark.parametrize(
    ("name", "device", "count", "bar"),
    [("llama-cpp", "roofline-raspberry-pi-5", 5, 0.05), ("gpt-fast", "roofline-a100-80gb", 5, 0.06)],
)
def test_a_token_left_out_is_nearer_than_by_the_peak_of_the_memory(
    name: str, device: str, count: int, bar: float
) -> None:
    """The bytes are read here from the file; the peak is the datasheet's, which nobody reaches."""
    peak = yaml.safe_load((ROOT / f"infra/devices/{device}.yaml").read_text())["bandwidth_gb_s"]
    with (ROOT / "infra/published/latency.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["runtime"].startswith(("llama.cpp", "gpt-fast"))]
    naive = []
    for line in (line for line in lines if line["board"] == devices.load(device).board):
        told = re.search(r"([\d.]+) GB file", line["model"])
        rate = re.match(r"([\d.]+) tok/s; (?:([\d.]+) GB/s)?", line["note"])
        gigabytes = float(told[1]) if told else float(rate[2]) / float(rate[1]) if rate else 0.0
        naive.append(abs(gigabytes / peak * 1e3 / float(line["latency_ms"]) - 1))
    errors = [abs(guess.error) for guess in language.left_out(known(name))]
    assert len(errors) == len(naive) == count
    assert fmean(errors) <= bar < 0.3 < fmean(naive)
    assert 1e3 / language.fitted(known(name)).ms_of_each < peak


def test_texts_at_once_lie_on_a_line() -> None:
    errors = [abs(guess.error) for guess in language.left_out(known("vllm"))]
    assert len(errors) == 6
    assert fmean(errors) < 0.02
    assert max(errors) < 0.05


def test_our_own_records_lie_on_such_a_line_too() -> None:
    """The H100's tokens of bf16, of 0.2 to 15 GB, each left out: nearer than by the bandwidth of a copy."""
    rows = json.loads((ROOT / "benchmarks/records/h100-lm.json").read_text())["rows"]
    texts = {name: int(name.rsplit("-", 1)[1]) for name in rows if re.fullmatch(r"\w+-bf16-decode-\d+", name)}
    own = [
        Token(name, rows[name]["bytes_read"] / 1e9, 1e3 * count / rows[name]["ours_tokens_per_s"], None)
        for name, count in texts.items()
    ]
    copied = [own_one.size / rows[own_one.model]["copy_bytes_per_s"] * 1e12 / own_one.ms - 1 for own_one in own]
    errors = [abs(guess.error) for guess in language.left_out(own)]
    assert len(errors) >= 5
    assert fmean(errors) < 0.5 * fmean(np.abs(copied))


def test_power_is_energy_over_time_and_judged_by_the_other_figures() -> None:
    drawn = language.power("llama-cpp")
    assert isinstance(drawn, power.Power)
    assert drawn.watts == pytest.approx(
        fmean([206.5 / 32.906, 212 / 35.224, 258.5 / 38.805, 299.4 / 43.048, 292.4 / 50.327])
    )
    assert drawn.judged is not None
    assert drawn.judged.mean < 0.10
    of_many = language.power("vllm")
    assert isinstance(of_many, power.Power)
    assert 454.8 * 8 / 7.3161 < of_many.watts < 700  # of all texts at once; the card's limit
    assert of_many.judged is not None
    assert of_many.judged.mean < 0.20
    assert language.power("gpt-fast") == "no energy of a token by gpt-fast is published"


def test_a_figure_left_out_is_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table.rows()
    out = {guess.network: guess for guess in language.left_out(known("llama-cpp"))}
    monkeypatch.setattr(table, "rows", lambda: tuple(row for row in rows if row.precision != "Q4_K_M"))
    found = language.estimate("llama-cpp", 0.398)
    assert isinstance(found, Estimate)
    assert found.ms == pytest.approx(next(g.estimated for name, g in out.items() if "Q4_K_M" in name), rel=1e-12)


def test_an_unrelated_row_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, before = table.rows(), language.estimate("llama-cpp", 0.4)
    fast = next(row for row in rows if row.runtime == "gpt-fast")
    monkeypatch.setattr(
        table, "rows", lambda: (*rows, replace(fast, board="raspberry-pi-5"), replace(fast, latency_ms=1.0))
    )
    assert language.estimate("llama-cpp", 0.4) == before


def test_far_outside_of_what_was_published_nothing_is_said() -> None:
    assert language.estimate("llama-cpp", 4.0) == (
        "a token reads 4 GB, those that are published of llama-cpp 0.339 to 0.531"
    )
    assert isinstance(language.estimate("llama-cpp", 1.0), Estimate)


def test_a_runtime_that_is_none_of_tokens_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "infra/devices/roofline-raspberry-pi-5.yaml").read_text()
    path = tmp_path / "roofline-raspberry-pi-5.yaml"
    path.write_text(text.replace("language: llama-cpp", "language: vllm"))
    with pytest.raises(ParamsError, match=r"language: received 'vllm'; allowed: gpt-fast, llama-cpp"):
        devices.parse(path)
