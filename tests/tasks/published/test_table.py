"""The table of published figures: what its sources say, by the same names, and told beside our own."""

import csv
import re
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tasks import paths
from tasks.bench import devices
from tasks.errors import DataError, ParamsError
from tasks.formats.cost import Product
from tasks.published import networks, table
from tasks.published.beside import beside
from tests.networks import written

ROOT = Path(__file__).resolve().parents[3]
AS_PUBLISHED = ("device", "model", "runtime", "precision", "threads", "source", "note")
COLLECTED = 1038  # figures
DIGEST = "159f4b15897147bf8cd593093b37eceed273d7d5a10217381bfe7f7c7f7eed42"  # of them, as they were collected


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def network(path: Path, name: str, precision: str = "int8") -> Path:
    return written(path / "model.tflite", networks.NETWORKS[name]().products, precision)


def digest(figures: Iterable[tuple[float | str | None, ...]]) -> str:
    return sha256("\n".join(map(repr, figures)).encode()).hexdigest()


def test_every_figure_is_the_one_that_was_collected() -> None:
    """By a checksum of the collected file, which is not everywhere."""
    rows = table.rows()[:COLLECTED]
    found = [(*(getattr(row, key) for key in AS_PUBLISHED), row.latency_ms, row.energy_mj) for row in rows]
    assert digest(found) == DIGEST


def test_the_checksum_is_that_of_the_collected_file_where_it_lies(data: Path) -> None:
    """Row by row, with the clocks, so that what differs is told; where real data lacks it the checksum stands alone."""
    path = data / "published" / "latency.csv"
    text = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    collected = list(csv.DictReader(text))
    for found, row in zip(collected, table.rows(), strict=False):
        assert tuple(found[key] for key in AS_PUBLISHED) == tuple(getattr(row, key) for key in AS_PUBLISHED)
        assert (number(found["latency_ms"]), number(found["energy_mJ"])) == (row.latency_ms, row.energy_mj)
        if told := re.search(r"([\d.]+) ?(M|G)Hz", found["core"]):
            assert row.clock_mhz == pytest.approx(float(told[1]) * (1000 if told[2] == "G" else 1))
    read = [(*(f[key] for key in AS_PUBLISHED), number(f["latency_ms"]), number(f["energy_mJ"])) for f in collected]
    assert not collected or (len(read), digest(read)) == (COLLECTED, DIGEST)


def number(told: str) -> float | None:
    return float(told) if told else None


def test_every_figure_has_a_source_and_a_known_network() -> None:
    assert all(row.source for row in table.rows())
    assert {row.network for row in table.rows()} - {None} == networks.NETWORKS.keys()
    assert all((row.latency_ms or 1) > 0 and (row.energy_mj or 1) > 0 for row in table.rows())


def test_a_network_is_found_by_its_products_on_its_board_alone(tmp_path: Path) -> None:
    found = beside(network(tmp_path, "resnet8"), "int8", "nucleo-u385rg")
    assert [(each.latency_ms, each.energy_mj, each.precision) for each in found] == [(182.4485, 0.96558, "int8")]
    assert found[0].provenance == "published"
    assert "X-CUBE-AI" in found[0].ran_on
    assert beside(network(tmp_path, "squeezenet-224"), "int8", "nucleo-u385rg") == ()


def test_floats_stand_beside_floats_and_integers_beside_integers(tmp_path: Path) -> None:
    floats = beside(network(tmp_path, "resnet8", "float32"), "float32", "nucleo-h7a3zi")
    assert [each.latency_ms for each in floats] == [124.2236]
    assert 124.2236 not in [each.latency_ms for each in beside(network(tmp_path, "resnet8"), "int8", "nucleo-h7a3zi")]
    assert beside(network(tmp_path, "resnet8"), "dynamic", "nucleo-h7a3zi") == ()


def test_a_network_that_differs_by_a_channel_has_nothing_published(tmp_path: Path) -> None:
    products = networks.NETWORKS["dscnn"]().products
    products[-1] = Product("FULLY_CONNECTED", (13, 64), (1, 13))
    assert beside(written(tmp_path / "dscnn.tflite", products), "int8", "nucleo-u385rg") == ()


def test_a_device_that_names_a_board_hangs_from_its_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    device = devices.load("stm32l4r5")
    before = devices.fingerprint(device)["published"]
    rows = table.rows()

    def changed(board: str) -> dict[str, object]:
        new = tuple(replace(row, latency_ms=1.0) if row.board == board else row for row in rows)
        monkeypatch.setattr(table, "rows", lambda: new)
        return devices.fingerprint(device)

    assert changed("nucleo-u575zi")["published"] == before
    assert changed("nucleo-l4r5zi")["published"] != before
    assert "published" not in devices.fingerprint(devices.load("host-cpu"))


def test_the_catalog_names_boards_that_something_is_known_of() -> None:
    named = {name: board for name in devices.names() if (board := devices.load(name).board)}
    assert len(named) >= 7
    assert set(named.values()) <= set(table.boards())


def test_a_device_shows_what_is_known_of_its_board(capsys: pytest.CaptureFixture[str]) -> None:
    from flows.views.show import published

    published("stm32l4r5")
    by_device = capsys.readouterr().out
    published("nucleo-l4r5zi")
    assert capsys.readouterr().out == by_device
    assert by_device.startswith(f"nucleo-l4r5zi: {len(table.of_board('nucleo-l4r5zi'))} figures that others")
    assert "704.225 ms, 29.207 mJ; TFLM reference, 1 thread, 120 MHz, MLPerf Tiny v0.5" in by_device
    with pytest.raises(
        ParamsError, match=r"nobody's figures are known of 'nucleo-u386rg'; .*did you mean 'nucleo-u385rg'"
    ):
        published("nucleo-u386rg")


def test_a_table_that_is_none_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "latency.csv"
    place.write_text("board,core\na,b\n")
    monkeypatch.setattr(paths, "own_or_packaged", lambda _: place)
    with pytest.raises(DataError, match=r"latency\.csv: not a table of published figures: KeyError: 'clock_mhz'"):
        table.rows()
