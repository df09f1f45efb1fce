"""What Prometheus and `tercet watch` are told is what happened."""

import bisect
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tasks.serve import metrics
from tasks.serve.counts import EDGES_S, SHARES, STEPS, WINDOW, Counts
from tasks.serve.metrics import Collector, Energy
from tests.bundles import noise
from tests.serving import Client, bundle, serving

IMAGES = noise(30)


def samples(client: Client) -> dict[tuple[str, str], float]:
    """Prometheus' own reading: values by name and the first label."""
    text = client.get("/metrics").content.decode()
    families = text_string_to_metric_families(text)
    found = [sample for family in families for sample in family.samples if not sample.name.endswith("_bucket")]
    return {(sample.name, next(iter(sample.labels.values()), "")): sample.value for sample in found}


def test_requests_and_the_time_of_each_step_are_counted_apart(tmp_path: Path) -> None:
    with serving(bundle(tmp_path / "b")) as client:
        began = time.perf_counter()
        for image in IMAGES:
            client.predict(image.tolist())
        client.predict([[1]])
        took_s = time.perf_counter() - began
        told = samples(client)
    assert told["tercet_requests_total", "200"] == 30
    assert told["tercet_requests_total", "422"] == 1
    assert told["tercet_inside", ""] == 0
    for step, number in {"queue": 31, "decode": 31, "invoke": 30, "encode": 30}.items():
        assert told["tercet_step_seconds_count", step] == number, step
        assert told["tercet_step_seconds_sum", step] > 0, step
    assert sum(told["tercet_step_seconds_sum", step] for step in STEPS) < took_s


@given(st.lists(st.floats(1e-7, 100), max_size=50))
def test_a_histogram_holds_each_time_in_its_bucket(times: list[float]) -> None:
    counts = Counts()
    for seconds in times:
        counts.step("invoke", seconds)
    registry = metrics.text(Collector(counts, {"a": "b"}, lambda: 0, Energy()))
    families = {family.name: family for family in text_string_to_metric_families(registry.decode())}
    mine = [each for each in families["tercet_step_seconds"].samples if each.labels["step"] == "invoke"]
    buckets = {float(each.labels["le"]): each.value for each in mine if each.name.endswith("_bucket")}
    for edge, exact in zip(sorted(buckets), (*EDGES_S, float("inf")), strict=True):
        assert buckets[edge] == bisect.bisect_right(sorted(times), exact)
    (total,) = [each.value for each in mine if each.name.endswith("_sum")]
    assert total == pytest.approx(sum(times))


def test_windows_hold_each_answer_once() -> None:
    counts, rng = Counts(), np.random.default_rng(0)
    labels, scores = rng.choice(["a", "b"], 3 * WINDOW + 7), rng.random(3 * WINDOW + 7)
    for label, score in zip(labels, scores, strict=True):
        counts.answered(label, score, 1e-3)
    told = counts.windows()
    assert [each["answers"] for each in told] == [WINDOW] * 3
    for k, window in enumerate(told):
        mine = slice(k * WINDOW, (k + 1) * WINDOW)
        assert window["labels"] == {name: int((labels[mine] == name).sum()) for name in ("a", "b")}
        assert window["scores"] == np.histogram(scores[mine], SHARES, (0, 1))[0].tolist()
        assert sum(window["invoke"]) == WINDOW


def test_energy_is_told_where_a_counter_is(tmp_path: Path) -> None:
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, text in {"name": "package-0", "max_energy_range_uj": "10000000"}.items():
        (zone / name).write_text(text)
    (zone / "energy_uj").write_text("9000000")
    energy = Energy({"powercap": str(tmp_path)})
    assert energy.source == "powercap"
    (zone / "energy_uj").write_text("9500000")
    assert energy.joules() == pytest.approx(0.5)
    (zone / "energy_uj").write_text("200000")  # it has wrapped
    assert energy.joules() == pytest.approx(1.2)
    none = Energy({"powercap": str(tmp_path / "absent"), "hwmon": str(tmp_path / "absent")})
    assert none.source is None
    text = metrics.text(Collector(Counts(), {"a": "b"}, lambda: 0, none))
    assert b"energy" not in text, "what nobody measured is no 0"


def test_what_the_bundle_says_of_its_answers_is_handed_on(tmp_path: Path) -> None:
    told = {"labels": {"north": 1, "east": 2, "söuth": 3, "west": 4}}
    with serving(bundle(tmp_path / "b", reference=told)) as client:
        assert client.get("/counts").json["reference"] == told
