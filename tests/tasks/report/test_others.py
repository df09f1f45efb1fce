"""What less precision, an accelerator or finer scales do not bring, as others have published, comes out in verdicts."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.published import networks
from tasks.published.beside import beside
from tasks.records import Comparison, Latency, Published
from tests.networks import written
from tests.phases import changed

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def published(folder: Path, network: str, board: str, precision: str) -> tuple[Published, ...]:
    return beside(written(folder / "model.tflite", networks.NETWORKS[network]().products, precision), precision, board)


def verdict(make: SimpleNamespace, folder: Path, network: str, board: str, reference: str = "float32") -> str:
    """Of int8 against fp32, or what stands for that: both are estimated alike, so only what others say parts them."""
    latency = Latency(provenance="estimated", ms_p50=1.0, ms_low=0.5, ms_high=2.0)
    floats, integers = (
        changed(
            make.on_host(name, "host-cpu"),
            latency=latency,
            ratio=None,
            published=published(folder, network, board, precision),
        )
        for name, precision in (("fp32", reference), ("int8", "int8"))
    )
    told: Comparison = make.comparison([floats, integers])
    return next(row.verdict for row in told.rows if row.variant == "int8")


@pytest.mark.parametrize(
    ("network", "board", "said"),
    [
        (
            "mobilenet_v1-1.0-224",
            "raspberry-pi-4",
            "Others have published that this precision gains little or nothing here on fp32's: 67.5 ms against 72.3 by"
            " OpenCV DNN 4.7.0; by ",
        ),
        ("resnet50-224", "jetson-agx-orin", ": 107 ms against 89.5 by ncnn benchncnn, CPU, 1 thread"),
        ("resnet50-224", "orange-pi-5", "54.5 ms against 43.0 by ncnn benchncnn, CPU, 8 threads"),
    ],
)
def test_eight_bits_that_bring_little(
    make: SimpleNamespace, tmp_path: Path, network: str, board: str, said: str
) -> None:
    assert said in verdict(make, tmp_path, network, board)


def test_eight_bits_that_bring_something_are_not_warned_of(make: SimpleNamespace, tmp_path: Path) -> None:
    """A Raspberry Pi 3's MobileNet is faster by both of its threads' counts, by more than a tenth."""
    assert "others have" not in verdict(make, tmp_path, "mobilenet_v1-1.0-224", "raspberry-pi-3-b-plus").lower()


def test_nothing_is_said_of_a_precision_against_itself(make: SimpleNamespace, tmp_path: Path) -> None:
    assert "others have" not in verdict(make, tmp_path, "resnet50-224", "jetson-agx-orin", "int8").lower()


def test_scales_by_channel_that_leave_the_accelerator(make: SimpleNamespace, tmp_path: Path) -> None:
    assert (
        "Others have published that one scale a channel takes 6.40 times as long here as one a tensor: 76.3 ms against"
        " 11.9, by STM32Cube.AI/STEdgeAI or X-LINUX-AI 5.1, 800 MHz."
    ) in verdict(make, tmp_path, "mobilenet_v2-1.0-224", "stm32mp257f-dk2")


def test_an_accelerator_that_most_operators_stay_away_from(make: SimpleNamespace, tmp_path: Path) -> None:
    said = "gains little or nothing here on the processor: 87.4 ms against 76.1, by NPU Neutron (22/88 ops)"
    assert said in verdict(make, tmp_path, "mobilenet_v2-1.0-320", "imx95")
    assert "accelerator" not in verdict(make, tmp_path, "mobilenet_v2-1.0-224", "imx95")


@pytest.mark.parametrize(("wants", "told"), [("tensor", True), ("channel", False), (None, False)])
def test_scales_that_a_device_does_not_want_are_told(make: SimpleNamespace, wants: str | None, told: bool) -> None:
    details = {"scales": {"has": "channel", "wants": wants}} if wants else {}
    rows = make.comparison(
        [make.on_host("fp32", "host-cpu"), changed(make.on_host("int8", "host-cpu"), details=details)]
    )
    said = next(row.verdict for row in rows.rows if row.variant == "int8")
    wish = "Its weights have one scale a channel and this device wants one a tensor: add a variant"
    assert (wish in said) == told
