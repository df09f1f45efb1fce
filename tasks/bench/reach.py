"""What a device answers when it is connected to, or started: `tercet devices --probe`."""

import sys
from typing import Any

from tasks.bench import transport
from tasks.bench.locks import hold
from tasks.devices import Device
from tasks.errors import DeviceError
from tasks.process import told
from tasks.registry import resolve

# by kind: a function of the device that gives one line, or raises DeviceError; kinds that are not here start nothing
PROBES = {
    "litert": "tasks.bench.reach:local",
    "onnxruntime": "tasks.bench.reach:local",
    "openvino": "tasks.bench.reach:local",
    "pjrt": "tasks.bench.reach:local",
    "ssh": "tasks.bench.targets.ssh:probe",
    "ethos-u": "tasks.bench.reach:compiler",
    "mcu-tflm": "tasks.bench.reach:local",
}
RUNTIMES = {"mcu-tflm": "tflm"}  # where the runner's name for it is not the kind's
LIMIT_S = 60.0


def reach(device: Device) -> str:
    """One line of what the device says of itself.

    Raises:
        DeviceError: it does not answer.
    """
    if device.kind not in PROBES:
        return "by its figures alone: there is nothing to start"
    return str(resolve(PROBES, device.kind, "kind of device")(device))


def local(device: Device) -> str:
    """This machine, by the runner in a fresh process.

    Raises:
        DeviceError: the runner did not answer.
    """
    ask = {"action": "look", "runtime": RUNTIMES.get(device.kind, device.kind)}
    with hold("local", exclusive=False):  # a measurement that runs must not be met
        response = transport.Local().run(ask, {}, {}, timeout_s=LIMIT_S)
    return line(response["environment"])


def compiler(device: Device) -> str:
    """The Vela compiler.

    Raises:
        DeviceError: it did not start.
    """
    command = [sys.executable, "-I", "-m", "ethosu.vela", "--version"]
    done = told(command, timeout_s=LIMIT_S, what="Vela, asked for its version,")
    if done.code:
        raise DeviceError(f"Vela ended with code {done.code}: {done.last_words}")
    return f"Vela {done.out.strip()} answers for {device.name}"


def line(environment: dict[str, Any]) -> str:
    """The runner's `environment` in one line."""
    heat = environment["temperature_c"]
    parts = [
        f"{environment['runtime']} on Python {environment['python']}",
        f"{environment['cpu'] or environment['machine']}, {environment['cpus_allowed']} CPUs",
        f"governor {environment['governor'] or 'unknown'}",
        f"load {environment['load1']:.1f}" if environment["load1"] is not None else None,
        f"{heat:.0f} °C" if heat is not None else None,
    ]
    return "; ".join(part for part in parts if part)
