from typing import get_args

import pytest

from tasks.records import EnergyKind, Provenance, notation
from tasks.records.figures import Value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.04123, "0.0412"),
        (0.9996, "1.00"),
        (9.996, "10.0"),
        (12.345, "12.3"),
        (123.4, "123"),
        (41241.3, "41,241"),
    ],
)
def test_three_digits_carry_the_figure(value: float | None, text: str) -> None:
    assert notation.significant(value) == text


def test_a_ratio_below_one_keeps_two_digits() -> None:
    assert [notation.ratio(v) for v in (0.993, 0.9996, 1.006, 0.0456, 9.514, None)] == [
        *("0.99", "1.00", "1.01", "0.046", "9.51", "–")
    ]


def test_decimals_of_a_percentage_follow_the_number_of_examples() -> None:
    assert notation.percent(0.97778, 360) == "97.8"
    assert notation.percent(0.98854, 10_000) == "98.85"


def test_a_change_has_a_sign_unless_it_rounds_to_nothing() -> None:
    assert [notation.points(v, 360) for v in (0.0125, -0.0125, 0.0001)] == ["+1.2", "−1.2", "0.0"]


def test_sizes_are_decimal() -> None:
    assert [notation.size(n) for n in (999, 1000, 338_400, 1_320_000)] == ["999 B", "1.00 kB", "338 kB", "1.32 MB"]


def test_p_values_are_never_zero() -> None:
    assert [notation.probability(p) for p in (1.0, 0.0412, 0.0042, 1e-9)] == [
        "p = 1.00",
        "p = 0.04",
        "p = 0.004",
        "p < 0.001",
    ]


def test_an_estimate_is_never_taken_for_a_measurement() -> None:
    sources = get_args(Provenance) + get_args(EnergyKind)
    found = {source: Value(1.0, source=source).provenance for source in sources}
    assert {source for source in found if found[source] == "measured"} == {
        *("measured", "counter_nvml", "counter_rapl", "rail_hwmon", "meter_external")
    }
    assert found["emulated"] == "emulated"
    assert found["none"] == "none"


def test_what_is_true_of_a_file_and_of_its_bytes_under_gzip_is_said_once() -> None:
    assert [notation.file(*ratios) for ratios in ((1.005, 0.999), (2.0, 1 / 3), (2.0, 2.0))] == [
        "file of the same size", "file 2.00× smaller, 3.00× larger under gzip", "file 2.00× smaller",
    ]  # fmt: skip
