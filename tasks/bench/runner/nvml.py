"""NVIDIA's management library, through ctypes alone: a GPU's energy, its power, and what its figures hang from."""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

LIBRARY = "libnvidia-ml.so.1"  # of the driver
SM_CLOCK, MEMORY_CLOCK, CORE_SENSOR = 1, 2, 0  # of nvml.h
TEXT = 96


class GpuError(Exception):
    """There is no GPU to ask, or it does not answer this question."""


class Gpu:
    """The GPU that CUDA sees first.

    Raises:
        GpuError: the library is missing, or there is no such GPU; every question may raise it too.
    """

    def __init__(self, library: str = LIBRARY) -> None:
        try:
            self._nvml = ctypes.CDLL(library)
        except OSError as error:
            raise GpuError(f"NVIDIA's driver is not installed: {error}") from None
        self._nvml.nvmlErrorString.restype = ctypes.c_char_p
        self._call("nvmlInit_v2")
        self._handle = ctypes.c_void_p()
        first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
        if first.isdigit():
            self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(int(first)), ctypes.byref(self._handle))
        elif first.startswith("GPU-"):
            self._call("nvmlDeviceGetHandleByUUID", first.encode(), ctypes.byref(self._handle))
        else:
            raise GpuError(f"CUDA_VISIBLE_DEVICES begins with {first!r}, which names no whole GPU")

    def name(self) -> str:
        """What the maker calls it."""
        return self._text("nvmlDeviceGetName", self._handle)

    def driver(self) -> str:
        """The driver's version."""
        return self._text("nvmlSystemGetDriverVersion")

    def millijoules(self) -> int:
        """What it has used since the driver was loaded: 64 bits. Volta and later."""
        return self._number("nvmlDeviceGetTotalEnergyConsumption", ctypes.c_ulonglong)

    def watts(self) -> float:
        """Its power: the driver's mean of the last second, on what is newer than Volta."""
        return self._number("nvmlDeviceGetPowerUsage", ctypes.c_uint) / 1000

    def facts(self) -> dict[str, Any]:
        """Its name, driver, clocks, temperature and power limit now; null for what it does not tell."""
        questions: dict[str, Callable[[], Any]] = {
            "gpu": self.name,
            "driver": self.driver,
            "gpu_mhz": lambda: self._number("nvmlDeviceGetClockInfo", ctypes.c_uint, SM_CLOCK),
            "gpu_memory_mhz": lambda: self._number("nvmlDeviceGetClockInfo", ctypes.c_uint, MEMORY_CLOCK),
            "gpu_temperature_c": lambda: self._number("nvmlDeviceGetTemperature", ctypes.c_uint, CORE_SENSOR),
            "gpu_power_limit_w": lambda: self._number("nvmlDeviceGetEnforcedPowerLimit", ctypes.c_uint) / 1000,
        }
        answers: dict[str, Any] = dict.fromkeys(questions)
        for name, ask in questions.items():
            with suppress(GpuError):
                answers[name] = ask()
        return answers

    def _text(self, function: str, *arguments: Any) -> str:
        answer = ctypes.create_string_buffer(TEXT)
        self._call(function, *arguments, answer, ctypes.c_uint(TEXT))
        return answer.value.decode(errors="replace")

    def _number(self, function: str, kind: type[ctypes.c_uint] | type[ctypes.c_ulonglong], *which: int) -> int:
        answer = kind()
        self._call(function, self._handle, *(ctypes.c_uint(number) for number in which), ctypes.byref(answer))
        return int(answer.value)

    def _call(self, function: str, *arguments: Any) -> None:
        try:
            code = getattr(self._nvml, function)(*arguments)
        except AttributeError:
            raise GpuError(f"NVIDIA's driver is too old: it has no {function}") from None
        if code:
            said = self._nvml.nvmlErrorString(code)
            raise GpuError(f"{function}: {said.decode(errors='replace') if said else code}")
