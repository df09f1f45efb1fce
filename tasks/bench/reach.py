"""What a device answers when it is connected to, or started: `tercet devices --probe`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tasks.bench import transport
from tasks.bench.device import Device
from tasks.bench.kinds import KINDS
from tasks.bench.locks import hold

LIMIT_S = 60.0


def reach(device: Device) -> str:
    """One line of what the device says of itself.

    Raises:
        DeviceError: it does not answer.
    """
    return KINDS.load(device.kind).probe(device)


def runner(runtime: str, code: Path | None = None) -> Callable[[Device], str]:
    """How a kind answers that runs here: this machine, by the runner in a fresh process.

    Args:
        runtime: the runner's module that it measures with.
        code: the file of that module, where it is none of ours.
    """

    def probe(device: Device) -> str:  # noqa: ARG001 - every probe has this signature
        with hold("local", exclusive=False):  # a measurement that runs must not be met
            ask, files = {"action": "look", "runtime": runtime}, {"code": code} if code else {}
            response = transport.Local().run(ask, files, {}, timeout_s=LIMIT_S)
        return line(response.environment)

    return probe


def line(environment: Mapping[str, Any]) -> str:
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
