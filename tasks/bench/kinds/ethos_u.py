"""Arm Ethos-U by the Vela compiler's estimate: no hardware is touched, and every figure says `estimated`.

Vela's traps, each answered here: it exits with 0 and zeros where nothing fits the accelerator; operators that fall back
to the CPU count as no time at all; without its four options it assumes a machine of its own choice.
"""

import csv
import math
import re
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from tasks.bench import shipping
from tasks.bench.device import Device
from tasks.bench.kinds import Kind
from tasks.bench.request import Artifact, Foretold, Request, Result
from tasks.bench.setup import Shipped
from tasks.errors import DeviceError, UnsupportedError, suggest
from tasks.formats import tflite
from tasks.formats.schemes import SCHEMES
from tasks.process import Told, told
from tasks.published import compiled
from tasks.records import Energy, Latency, Measurement, Memory
from tasks.scratch import scratch, unplaced

USES = ("ethos-u-vela",)
TIMEOUT_S = 300
PROBE_S = 60.0
STAND_IN = "LiteRT reference kernels on the host"
MAC_PJ = {"int8": 0.3, "int16": 0.5}  # by activations, see `energy`
SRAM_PJ = (1.25, 12.5)  # a byte
OUTSIDE_PJ = (162.0, 325.0)  # a byte of flash or DRAM
NARROW = {"int4", "uint4", "int2"}  # types of less than a byte
REFUSAL = re.compile(r"operator: (?P<operator>\w+), ofm: .*\nReason: (?P<reason>.*)")
DEDICATED = [f"Dedicated_Sram{size}" for size in ("", "_256KB", "_384KB", "_512KB")]
ACCELERATORS = {
    "u55": [f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)],
    "u65": [f"ethos-u65-{macs}" for macs in (256, 512)],
    "u85": [f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)],
}
SYSTEMS = {
    "u55": [f"Ethos_U55_{name}" for name in ("Deep_Embedded", "High_End_Embedded")],
    "u65": [f"Ethos_U65_{name}" for name in ("Embedded", "Mid_End", "High_End", "Client_Server")],
    "u85": [f"Ethos_U85_SYS_{name}" for name in ("Flash_Low", "Flash_High", "DRAM_Low", "DRAM_Mid", "DRAM_High")],
}
MEMORY_MODES = {
    "u55": ["Sram_Only", "Shared_Sram"],
    "u65": ["Sram_Only", "Shared_Sram", *DEDICATED],
    "u85": ["Sram_Only", "Shared_Sram", *DEDICATED],
}


class EthosU(Device):
    """An Arm Ethos-U neural processor, as the Vela compiler estimates it."""

    accelerator: str
    system: str  # of Vela's Arm/vela.ini
    memory: str  # likewise

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        # Vela takes some wrong pairs without a word, so this table stands in front of it
        family = self.accelerator.removeprefix("ethos-").partition("-")[0]
        for field, allowed in {"accelerator": ACCELERATORS, "system": SYSTEMS, "memory": MEMORY_MODES}.items():
            names = allowed.get(family) or [name for group in allowed.values() for name in group]
            if getattr(self, field) not in names:
                raise ValueError(f"{field}: received {getattr(self, field)!r}; {suggest(getattr(self, field), names)}")
        return self


@dataclass(frozen=True)
class Report:
    """What Vela says of one network."""

    summary: dict[str, str]  # its summary, by column
    cpu: tuple[str, ...]  # operators that stay on the CPU
    npu: int  # operators that do not
    refusals: tuple[tuple[str, str], ...]  # operator and reason
    compiled: Path  # what it made, for the device

    def number(self, column: str) -> float:
        """One figure of the summary."""
        return float(self.summary[column])


def measure(request: Request) -> Result:
    """Compile for the device and report the compiler's estimates.

    Raises:
        UnsupportedError: nothing of the network runs on the accelerator, or Vela refuses it.
        DeviceError: Vela did not end in time.
    """
    return Result(_result(request, _running(request.artifact, request.device)))


def foretell(artifact: Artifact, device: Device) -> Foretold:
    """The same of one inference, for which nothing is asked."""
    report = _running(artifact, device)
    if report.cpu:
        raise UnsupportedError(_fallen_back(report))
    return Foretold(_latency(report, device), energy(report, artifact.card.scheme))


def _running(artifact: Artifact, device: Device) -> Report:
    """The compiler's report of what runs on the accelerator at all."""
    with scratch("vela") as folder:
        report = vela(artifact.path, device, Path(folder))
    if not report.npu or not report.number("inference_time"):  # an addition alone has no MACs, and runs
        raise UnsupportedError(f"nothing runs on the accelerator: {_first_refusal(report)}")
    return report


def _latency(report: Report, device: Device) -> Latency:
    """The compiler's, with how far it was off where cycles are published."""
    assert isinstance(device, EthosU)
    ms, judged = report.number("inference_time") * 1e3, compiled.error(device.accelerator)
    return Latency(provenance="estimated", ms_p50=ms, judged=judged)


def fingerprint(device: Device) -> dict[str, Any]:
    """The published figures that the error is of."""
    assert isinstance(device, EthosU)
    found = compiled.error(device.accelerator)
    return {"judged": found.model_dump()} if found else {}


def _share(report: Report) -> float:
    return len(report.cpu) / (len(report.cpu) + report.npu)


def _fallen_back(report: Report) -> str:
    every = len(report.cpu) + report.npu
    return (
        f"{len(report.cpu)} of {every} operators ({_share(report):.0%}) fall back to the CPU, whose"
        f" time the compiler counts as 0: {', '.join(sorted(set(report.cpu)))}; {_first_refusal(report)}"
    )


def ships(artifact: Artifact, device: Device, folder: Path) -> Shipped:
    """The file as the compiler makes it for the accelerator, and the artifact, which stands in for it elsewhere.

    Raises:
        UnsupportedError: Vela refuses the network.
        DeviceError: Vela did not end in time.
    """
    with scratch("vela") as temporary:
        made = vela(artifact.path, device, temporary).compiled
        file = shutil.copyfile(made, folder / "model_vela.tflite").name
    compiler = f"ethos-u-vela {version('ethos-u-vela')}"
    runs = (
        f"{file} is what runs on the device, by Arm's driver (the folder firmware has it as an array of C); its figures"
        " are the compiler's estimate, nothing was run."
        " classify.py runs model.tflite in its stead, by LiteRT's reference kernels."
    )
    return shipping.interpreted(artifact, folder, compiler, runs, "reference", file)


def vela(artifact: Path, device: Device, folder: Path) -> Report:
    """Run the compiler, with all four options that its estimates hang from."""
    if not isinstance(device, EthosU):
        raise DeviceError(f"{device.name}: Vela compiles for Ethos-U; received a device of kind {device.kind!r}")
    options = {
        "--accelerator-config": device.accelerator,
        "--config": "Arm/vela.ini",  # found inside the installed package
        "--system-config": device.system,
        "--memory-mode": device.memory,
        "--output-dir": str(folder),
    }
    command = [
        sys.executable,
        "-I",
        "-m",
        "ethosu.vela",
        str(tflite.checked(artifact, "Vela")),
        "--verbose-performance",
        "--show-cpu-operations",
    ]
    command += [word for option in options.items() for word in option]
    done = told(command, timeout_s=TIMEOUT_S, what=f"{artifact}: Vela")
    if done.code:
        raise UnsupportedError(f"Vela refuses the network: {_refusal(done, artifact)}")
    return read(folder, artifact.stem, device.system, done.out)


def probe(device: Device) -> str:
    """What the compiler says of itself.

    Raises:
        DeviceError: it did not start.
    """
    command = [sys.executable, "-I", "-m", "ethosu.vela", "--version"]
    done = told(command, timeout_s=PROBE_S, what="Vela, asked for its version,")
    if done.code:
        raise DeviceError(f"Vela ended with code {done.code}: {done.last_words}")
    return f"Vela {done.out.strip()} answers for {device.name}"


def _refusal(done: Told, artifact: Path) -> str:
    """Why it ended without a result: what it raised, or what of the file it crashed on."""
    if done.code < 0:
        narrow = ", ".join(sorted(_types(artifact) & NARROW))
        cause = f"it cannot read tensors of {narrow}, and " if narrow else ""
        return f"{cause}crashes with {signal.Signals(-done.code).name}"
    lines = (done.err.strip() or done.out.strip() or "it said nothing").splitlines()
    raised = next((i for i, line in enumerate(lines) if re.match(r"\w+Error: ", line)), len(lines) - 1)
    return unplaced(" ".join(" ".join(lines[raised:]).split()))


def _types(artifact: Path) -> set[str]:
    with suppress(*tflite.DAMAGED):
        return tflite.load(artifact).dtypes()
    return set()


def read(folder: Path, stem: str, system: str, stdout: str) -> Report:
    """Read what Vela wrote about a network called `stem`; columns are found by their header."""
    with (folder / f"{stem}_summary_{system}.csv").open(encoding="utf-8", newline="") as file:
        summary = next(csv.DictReader(file))
    with (folder / f"{stem}_per-layer.csv").open(encoding="utf-8", newline="") as file:
        layers = list(csv.DictReader(file))
    cpu = tuple(layer["Original Operator"] for layer in layers if layer["Target"] == "CPU")
    refusals = tuple((m["operator"], m["reason"].strip()) for m in REFUSAL.finditer(stdout))
    return Report(summary, cpu, len(layers) - len(cpu), refusals, folder / f"{stem}_vela.tflite")


def energy(report: Report, scheme: str) -> Energy:
    """Millijoules per inference from operations and memory traffic: an order of magnitude, best used as a ratio.

    Constants are of 45 nm (M. Horowitz, "Computing's energy problem", ISSCC 2014, as in google/qkeras, qtools): a
    multiplication of 8 by 8 bits 0.2 pJ and a 32-bit addition 0.1 pJ make a MAC of 0.3 pJ; 16 by 8 bits are two such
    multiplications. A byte of SRAM is 1.25 pJ (10 pJ for 64 bits of an 8 KB memory) to 12.5 pJ (100 pJ, 1 MB); a byte
    outside is 162 to 325 pJ (1.3 to 2.6 nJ for 64 bits of DRAM). The bounds are the choice of constants alone, no
    confidence interval; the middle is their geometric mean. Leakage, the CPU and the newer process are not in it.
    """
    macs, sram, outside = report.number("nn_macs"), report.number("sram_total_bytes"), _outside_bytes(report)
    mac_pj = MAC_PJ.get(SCHEMES.load(scheme).activations, MAC_PJ["int8"])
    low, high = (
        (macs * mac_pj + sram * near + outside * far) * 1e-9 for near, far in zip(SRAM_PJ, OUTSIDE_PJ, strict=True)
    )
    return Energy(
        kind="estimate_compiler",
        mj=math.sqrt(low * high),
        low_mj=low,
        high_mj=high,
        scope="operations and memory traffic; no leakage, no CPU",
        formula=f"{macs:.0f} MAC x {mac_pj} pJ + {sram:.0f} SRAM bytes x [{SRAM_PJ[0]}, {SRAM_PJ[1]}] pJ"
        f" + {outside:.0f} bytes outside x [{OUTSIDE_PJ[0]:.0f}, {OUTSIDE_PJ[1]:.0f}] pJ",
    )


def _result(request: Request, report: Report) -> Measurement:
    """The record: with operators left to the CPU there is no whole latency, and the pair is invalid."""
    details = {
        "vela": version("ethos-u-vela"),
        "cpu_operator_share": _share(report),
        "cycles": report.number("cycles_total"),
        "macs": report.number("nn_macs"),
        "sram_bytes": report.number("sram_memory_used") * 1024,
        "flash_bytes": report.number("off_chip_flash_memory_used") * 1024,
        "dram_bytes": report.number("dram_memory_used") * 1024,
        "traffic_outside_bytes": _outside_bytes(report),
        "encoded_weights_bytes": report.number("total_npu_encoded_weights"),
        "original_weights_bytes": report.number("total_original_weights"),
    }
    common: dict[str, Any] = {
        "memory": Memory(provenance="estimated", peak_kib=report.number("sram_memory_used"), what="SRAM, as compiled"),
        "kernels": "reference",
        "stand_in": STAND_IN,
        "environment": {"compiler": f"ethos-u-vela {version('ethos-u-vela')}"},
    }
    if not report.cpu:
        latency, figures = _latency(report, request.device), energy(report, request.artifact.card.scheme)
        return request.result(status="ok", latency=latency, energy=figures, details=details, **common)
    reason = _fallen_back(report)
    nothing = Energy(kind="none", reason="operators on the CPU are not in the estimate")
    details["npu_part_only_ms"] = report.number("inference_time") * 1e3
    return request.result(status="invalid", reason=reason, energy=nothing, details=details, **common)


def _outside_bytes(report: Report) -> float:
    return sum(report.number(f"{area}_total_bytes") for area in ("dram", "on_chip_flash", "off_chip_flash"))


def _first_refusal(report: Report) -> str:
    if not report.refusals:
        return f"operators: {', '.join(sorted(set(report.cpu))) or 'none'}"
    operator, reason = report.refusals[0]
    more = f" (and {len(report.refusals) - 1} more)" if len(report.refusals) > 1 else ""
    return f"{operator}: {reason}{more}"


KIND = Kind(
    schema=EthosU,
    package="ethos-u-vela",
    probe=probe,
    fingerprint=fingerprint,
    measure=measure,
    ships=ships,
    embeds=True,
    schemes=("int8", "int16x8"),
    estimates="int8",
    foretells=foretell,
)
