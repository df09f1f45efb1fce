"""What is made sure of on a device: answers, latency, and energy where the record's counter is there, too."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.ship import link
from tasks.ship.delivery import Cargo
from tests.shipping import NEW, changed, folder_of

SECONDS = 0.03
WATTS = 50.0


def proof(folder: Path, tolerance: float, powercap: Path, seconds: float = SECONDS) -> dict[str, Any]:
    """What a process finds whose counters lie in a folder."""
    texts = {name: text.replace("/sys/class/powercap", str(powercap)) for name, text in link.sources().items()}
    words = [str(folder), str(tolerance), str(seconds)]
    sent = json.dumps({"sources": texts, "site": [], "run": "onboard.ship.prove", "words": words}).encode()
    command = [sys.executable, "-I", "-c", texts["onboard.ship.boot"]]
    done = subprocess.run(command, input=b"%d\n%s" % (len(sent), sent), capture_output=True, timeout=60, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """A counter of the processor's energy that stands still."""
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("energy_uj", "1000"), ("max_energy_range_uj", "1000000000000")):
        (zone / name).write_text(text)
    return zone.parent


@pytest.fixture
def counting(powercap: Path) -> Iterator[Path]:
    """The counter, of a processor that draws `WATTS`."""
    path, over, begun = powercap / "intel-rapl:0" / "energy_uj", threading.Event(), time.perf_counter()

    def count() -> None:
        while not over.wait(0.001):
            temporary = path.with_name("new")
            temporary.write_text(str(int((time.perf_counter() - begun) * WATTS * 1e6)))
            temporary.replace(path)

    thread = threading.Thread(target=count)
    thread.start()
    yield powercap
    over.set()
    thread.join()


def recorded(cargo: Cargo, folder: Path, mj: float, source: str = "counter_rapl") -> Path:
    """A bundle whose record says an energy."""
    copy = folder / "recorded"
    for name, piece in cargo.bundle.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(Path(str(piece)).read_bytes())

    def change(manifest: dict[str, Any]) -> None:
        figures = manifest["figures"]
        figures["energy_mj_with_input"] = {**figures["latency_ms"], "value": mj, "high": None, "source": source}

    changed(copy, change, {})
    return copy


def test_energy_is_compared_by_the_counter_of_the_record(
    cargoes: dict[str, Cargo], counting: Path, project: Path
) -> None:
    found = proof(recorded(cargoes[NEW], project, 1000.0), 1.5, counting)
    assert found["why"] is None
    mj, ms = found["found"]["energy_mj_with_input"], found["found"]["latency_ms"]
    assert WATTS * ms <= mj <= WATTS * ms * 1000  # the whole loop is longer than the inference in it
    assert found["record"] == {"latency_ms": 1.0, "energy_mj_with_input": 1000.0}


def test_more_energy_than_is_allowed_is_a_reason(cargoes: dict[str, Cargo], counting: Path, project: Path) -> None:
    found = proof(recorded(cargoes[NEW], project, 1e-9), 1.5, counting)
    mj = found["found"]["energy_mj_with_input"]
    assert found["why"] == (
        f"energy is {mj:.3g} mJ here, {mj / 1e-9:.2f} times the record's 1e-09; 1.5 times are allowed"
    )


@pytest.mark.parametrize("source", ["counter_rapl", "estimate_cpu_time", "rail_hwmon"])
def test_what_the_record_or_the_device_does_not_measure_is_not_compared(
    cargoes: dict[str, Cargo], powercap: Path, project: Path, source: str
) -> None:
    found = proof(recorded(cargoes[NEW], project, 1e-9, source), 1.5, powercap)  # whose counter stands still
    assert (found["why"], found["found"].keys()) == (None, {"latency_ms"})


def test_nothing_is_timed_where_that_is_not_asked_for(cargoes: dict[str, Cargo], powercap: Path) -> None:
    found = proof(folder_of(cargoes[NEW]), 1.0, powercap, seconds=0.0)
    assert (found["why"], found["found"], found["examples"]) == (None, {}, 8)
