"""Rails of boards, from trees like those that the kernel shows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.bench import meters, transport
from tasks.bench.runner import counters

Build = Callable[..., dict[str, Any]]
ORIN_NANO = {  # I²C 0x40: one sensor, whose first rail feeds the board
    "name": "ina3221", "update_interval": "2",
    "in1_label": "VDD_IN", "in1_enable": "1", "in1_input": "5000", "curr1_input": "1200",
    "in2_label": "VDD_CPU_GPU_CV", "in2_enable": "1", "in2_input": "5000", "curr2_input": "300",
    "in3_label": "VDD_SOC", "in3_enable": "1", "in3_input": "5000", "curr3_input": "250",
    "in4_input": "6", "in7_label": "sum of shunt voltages", "in7_input": "8", "curr4_input": "1750",
}  # fmt: skip
AGX_ORIN = {
    "name": "ina3221",
    "in1_label": "VDD_GPU_SOC", "in1_input": "20000", "curr1_input": "200",
    "in2_label": "VDD_CPU_CV", "in2_input": "20000", "curr2_input": "40",
    "in3_label": "VIN_SYS_5V0", "in3_input": "5000", "curr3_input": "800",
}  # fmt: skip
AGX_ORIN_SECOND = {
    "name": "ina3221",
    "in1_label": "NC", "in1_input": "0", "curr1_input": "0",
    "in2_label": "VDDQ_VDD2_1V8AO", "in2_input": "5000", "curr2_input": "200",
}  # fmt: skip
INA226 = {"name": "ina226", "in0_input": "2", "in1_input": "5100", "curr1_input": "1000", "power1_input": "5075000"}
BATTERY = {"name": "BAT0", "in1_input": "12000", "curr1_input": "900", "power1_input": "9000000"}


def tree(root: Path, **chips: dict[str, str]) -> Path:
    for folder, files in chips.items():
        (root / folder).mkdir(parents=True)
        for name, content in files.items():
            (root / folder / name).write_text(content + "\n")
    return root


def rails(root: Path) -> dict[str, int]:
    """What each rail that is read draws, in microwatts."""
    counter = counters.Hwmon(str(root))
    return {rail.name: rail.microwatts() for rail in counter._rails}


def test_a_rail_that_feeds_the_board_stands_alone(tmp_path: Path) -> None:
    assert rails(tree(tmp_path, hwmon3=ORIN_NANO)) == {"VDD_IN": 6_000_000}


def test_else_the_first_sensors_rails_are_read(tmp_path: Path) -> None:
    # the second's rail hangs from VIN_SYS_5V0; by hwmon's own number it would come first
    root = tree(tmp_path, hwmon2=AGX_ORIN_SECOND, hwmon4=AGX_ORIN)
    for folder, address in {"hwmon2": "1-0041", "hwmon4": "1-0040"}.items():
        (tmp_path / "i2c" / address).mkdir(parents=True)
        (root / folder / "device").symlink_to(tmp_path / "i2c" / address)
    assert rails(root) == {"VDD_GPU_SOC": 4_000_000, "VDD_CPU_CV": 800_000, "VIN_SYS_5V0": 4_000_000}


def test_a_sensor_that_tells_power_is_taken_at_its_word_and_no_battery_for_a_sensor(tmp_path: Path) -> None:
    assert rails(tree(tmp_path, hwmon0=BATTERY, hwmon1=INA226)) == {"ina226 1": 5_075_000}


def test_a_channel_that_is_switched_off_is_left_out(tmp_path: Path) -> None:
    off = {**AGX_ORIN, "in2_enable": "0"}
    assert rails(tree(tmp_path, hwmon1=off)) == {"VDD_GPU_SOC": 4_000_000, "VIN_SYS_5V0": 4_000_000}


def test_power_that_rises_evenly_adds_up_to_the_area_under_it(tmp_path: Path) -> None:
    counter = counters.Hwmon(str(tree(tmp_path, hwmon1=INA226)))
    counter.advance(0, [0])  # from here: 2 W a second, looked at unevenly
    begun = counter._uj[0]
    for ns in (3_000_000, 13_000_000, 500_000_000, 1_500_000_000):
        counter.advance(ns, [ns * 2 // 1000])
    assert counter._uj[0] - begun == pytest.approx(1.5**2 * 1e6)
    assert counter.about["changes"] == 4  # the first look found what was there


def test_without_a_sensor_or_the_right_to_read_it_there_is_a_reason(tmp_path: Path) -> None:
    assert "no current sensor" in counters.Hwmon(str(tree(tmp_path / "none", hwmon0=BATTERY))).about["reason"]
    root = tree(tmp_path / "barred", hwmon1=INA226)
    (root / "hwmon1" / "power1_input").unlink()
    (root / "hwmon1" / "power1_input").mkdir()  # unreadable even for root
    about = counters.Hwmon(str(root)).about
    assert "cannot be read" in about["reason"]
    assert about["zones"] == []


def test_a_window_on_a_board_has_its_rails_energy(request_of: Build, tmp_path: Path) -> None:
    root = tree(tmp_path / "hwmon", hwmon3=ORIN_NANO)
    sources = {"powercap": str(tmp_path / "none"), "hwmon": str(root)}
    request = request_of("int8", "time", window_s=0.4, idle_s=0.2, energy=sources)
    response = transport.Local().run(request, {"model": Path(request["model"])}, {}, timeout_s=30)
    assert response.timing
    (window,) = response.timing.phases.values()
    assert window.energy.source == "hwmon"
    assert window.energy.update_s
    assert 0.01 <= window.energy.update_s < 0.1
    figures = meters.window_energy(window)
    assert figures.active_w == pytest.approx(6, rel=0.15)
    assert figures.idle_w == pytest.approx(6, rel=0.15)
    assert figures.safe_s is None
    # and as these files never change, they are no living sensor
    watched = replace(window, energy=replace(window.energy, update_s=1e-4))
    assert meters.counted([meters.Metered(watched)]).reason == (
        "invalid: the sensor gave one and the same reading all the time"
    )


def test_the_first_source_that_can_be_read_is_taken(tmp_path: Path) -> None:
    root = tree(tmp_path / "hwmon", hwmon1=INA226)
    none = str(tmp_path / "none")
    assert counters.find({"powercap": none, "hwmon": str(root)}).about["source"] == "hwmon"
    reason = counters.find({"powercap": none, "hwmon": none}).about["reason"]
    assert reason == f"no RAPL package under {none}; no current sensor (INA3221, INA2xx) under {none}"
