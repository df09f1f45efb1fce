"""`tercet speculate`: which pairs it takes, and the table and records of what was measured."""

import pytest

from flows import speculate
from tasks import paths
from tasks.bench import speculation
from tasks.errors import ParamsError
from tasks.records import ArtifactCard, Energy, Latency, Phase, Ratio, Signature, read
from tasks.records.speculation import Speculation
from tests import least

VARIANTS = {
    "big": {"model": "baseline", "scheme": "float32", "verify": [2, 5]},
    "small": {"model": "baseline", "scheme": "dynamic"},
}


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    found = least.params(
        {"source": "text", "path": "text.txt", "task": "language"},
        quantize=VARIANTS,
        benchmark={"reference": "big", "devices": ["host-cpu", "laptop"], "protocol": {"mode": "quick"}},
    )
    monkeypatch.setattr(speculate.params, "load", lambda: found)
    cards = {name: card(name, *(f"verify_{n}" for n in entry.get("verify", ()))) for name, entry in VARIANTS.items()}
    monkeypatch.setattr("tasks.bench.request.made_in", lambda folder: cards[folder.name])


def card(name, *more):
    calls = [Signature(name=each, inputs=(), outputs=(), state={"kv": "kv"}) for each in ("prefill_4", "decode", *more)]

    class Made:
        card = ArtifactCard(
            variant=name, model="baseline", scheme="float32", file="f", sha256="0" * 64, bytes=1, gzip_bytes=1,
            inputs=(), outputs=(), operators={}, converter="test", signatures=tuple(calls),
        )  # fmt: skip

    return Made


def phase(ms, mj, **more):
    latency = Latency(provenance="measured", ms_p50=ms, ms_mean=ms)
    return Phase(unit="token", volume=16, latency=latency, energy=Energy(kind="counter_rapl", mj=mj), **more)


def measured(target, draft, device, protocol, ahead):
    told = {
        "target": target.card.variant, "draft": draft.card.variant, "device": device, "device_kind": "litert",
        "ahead": ahead, "mode": protocol.mode, "target_sha256": "0" * 64, "draft_sha256": "1" * 64,
    }  # fmt: skip
    if device == "laptop":
        return Speculation(status="unsupported", reason="away", **told)
    ratio = Ratio(value=0.5 * ahead, low=0.4 * ahead, high=0.6 * ahead, pairs=6)
    return Speculation(
        status="ok", prompts=4, proposed=200, accepted=150, calls=100, plain=phase(160, 320),
        speculated=phase(80, 400, ratio=ratio), **told,
    )  # fmt: skip


def test_every_length_is_measured_on_every_device(project, monkeypatch, capsys):
    monkeypatch.setattr(speculation, "measure", measured)
    monkeypatch.setenv("COLUMNS", "160")
    speculate.speculate("big", "small")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    told = ["75%", "2.50", "10", "5"]
    energies = ["●", "20", "●", "25"]
    assert ["host-cpu", "1", *told, "0.50", "[0.40–0.60]", *energies, "pays"] in lines
    assert ["host-cpu", "4", *told, "2.00", "[1.60–2.40]", *energies, "does", "not", "pay"] in lines
    assert ["laptop", "4", *"–––––––", "unsupported"] in lines
    assert ["laptop,", "4", "ahead:", "away"] in lines
    assert read(Speculation, paths.speculation("big", "small", 4, "host-cpu")).acceptance == 0.75


def test_an_estimate_and_the_range_of_few_windows_are_told_as_such(project, monkeypatch, capsys):
    """As the tables of a run do: ○ of what no counter has told, () of what claims nothing."""
    found = measured(card("big"), card("small"), "host-cpu", speculate.params.load().benchmark.protocol, 1)
    ratio = found.ratio.model_copy(update={"kind": "range", "pairs": 2})
    estimated, none = Energy(kind="estimate_cpu_time", mj=320), Energy(kind="none", reason="no counter")
    changes = {
        "plain": found.plain.model_copy(update={"energy": estimated}),
        "speculated": found.speculated.model_copy(update={"energy": none, "ratio": ratio}),
    }
    monkeypatch.setattr(speculation, "measure", lambda *_: found.model_copy(update=changes))
    monkeypatch.setenv("COLUMNS", "160")
    speculate.speculate("big", "small")
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    told = ["75%", "2.50", "10", "5", "0.50", "(0.40–0.60)", "○", "20", "–", "cannot", "be", "told"]
    assert ["host-cpu", "1", *told] in lines


def test_what_is_no_pair_is_one_line(project):
    with pytest.raises(ParamsError, match=r"no variant is named 'bug'; allowed: big, small\. did you mean 'big'"):
        speculate.speculate("big", "bug")
    with pytest.raises(ParamsError, match=r"small: judges no proposals; say in quantize.small .* `verify: \[4, 8\]`"):
        speculate.speculate("small", "big")


@pytest.mark.parametrize(
    ("low", "high", "kind", "pays"),
    [
        (0.7, 0.9, "interval", True),
        (1.1, 1.3, "interval", False),
        (0.9, 1.1, "interval", None),
        (0.7, 0.9, "range", None),
    ],
)
def test_it_pays_where_the_interval_says_so(low, high, kind, pays):
    found = measured(card("big"), card("small"), "host-cpu", speculate.params.load().benchmark.protocol, 1)
    ratio = Ratio(value=(low + high) / 2, low=low, high=high, pairs=6, kind=kind)
    found = found.model_copy(update={"speculated": found.speculated.model_copy(update={"ratio": ratio})})
    assert found.pays is pays
    assert found.model_copy(update={"status": "invalid"}).pays is None
