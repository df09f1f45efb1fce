"""Whose published figures are fitted together: runtimes with kernels alike, on cores of a kind."""

from dataclasses import dataclass

from tasks.published.fit import PROCESSORS, STYLES
from tasks.published.table import Row

MICRO = ("cortex-m", "rh850")  # cores of microcontrollers
APPLICATION = ("cortex-a", "arm1176", "neoverse", "zen", "emerald")  # and where its source does not name it


def processor(core: str) -> bool:
    """Whether a core of the table is a processor's, and no accelerator beside or in it."""
    return not core or (core.startswith((*MICRO, *APPLICATION)) and "+" not in core.removesuffix("+"))


@dataclass(frozen=True)
class Runtime:
    """Whose kernels are alike: how its rows call it, with the round of MLPerf Tiny where only that one's are meant."""

    called: tuple[tuple[str, str | None], ...]
    cores: tuple[str, ...] = MICRO

    @property
    def accelerates(self) -> bool:
        """Whether it runs on something else than a processor, which has no threads."""
        return self.cores not in (MICRO, APPLICATION)

    @property
    def styles(self) -> tuple[str, ...]:
        """What its kernels may be like."""
        return tuple(STYLES) if self.accelerates else PROCESSORS

    def has(self, row: Row, threads: str | None = None) -> bool:
        """Whether a row is one of its figures, on a core of its kind and as it is built for the others.

        Args:
            row: of the table.
            threads: as many, where that means something; None: however many.
        """
        named = (row.runtime, row.release) in self.called or (row.runtime, None) in self.called
        plain = self.accelerates or "+" not in row.core.removesuffix("+")
        cored = row.core.startswith(self.cores) if row.core else self.cores == APPLICATION
        alike = threads in (None, row.ran_threads) or self.accelerates
        known = row.network is not None and row.latency_ms is not None
        return named and plain and cored and alike and known and not row.device.endswith(BUILT_APART)


MODEL_ZOO = ("STM32Cube.AI/STEdgeAI or X-LINUX-AI 5.1", None)
RUNTIMES = {
    "tflm-reference": Runtime((("TFLM reference", None),)),
    "tflm-optimized": Runtime((("Skymizer/TFLM mbed_os", None), ("Skymizer/TFLM zephyr", None))),
    "tflm-vector": Runtime((("TFLM (CMSIS-NN not stated)", None),)),  # of a Cortex-M85
    "microtvm": Runtime((("MICROTVM-NATIVE", None),)),
    "microtvm-cmsis-nn": Runtime((("MICROTVM-CMSIS-NN", None),)),
    "x-cube-ai-8": Runtime((("X-CUBE-AI", "v1.0"), ("X-CUBE-AI-7.3", None), ("X-CUBE-AI-8.0", None))),
    "x-cube-ai-v1-1": Runtime((("X-CUBE-AI", "v1.1"),)),
    "x-cube-ai": Runtime((("X-CUBE-AI", "v1.2"), ("X-CUBE-AI", "v1.3"))),
    "stm32-model-zoo": Runtime((MODEL_ZOO,)),
    "hale": Runtime((("Bosch HALE", None),)),
    "plumerai-v1-0": Runtime((("Plumerai engine", "v1.0"),)),
    "plumerai": Runtime((("Plumerai engine", "v1.1"),)),
    "ncnn": Runtime((("ncnn benchncnn, CPU", None),), APPLICATION),
    "xnnpack": Runtime((("XNNPACK end2end-bench", None), ("XNNPACK end2end_bench", None)), APPLICATION),
    "x-linux-ai": Runtime((MODEL_ZOO,), APPLICATION),
    "neural-art": Runtime((MODEL_ZOO,), ("neural-art",)),  # of an STM32N6
    "mvp": Runtime((("Silicon Labs (runtime not read)", None),), ("cortex-m33+mvp",)),
    "syntiant": Runtime((("Syntiant SDK", None),), ("syntiant",)),
    "ncnn-vulkan": Runtime((("ncnn benchncnn, Vulkan", None),), ("tegra-gpu",)),
    "k1": Runtime((("self-developed", None),), ("rv64gcvb",)),
}
BUILT_APART = ("_max_performance", "_min_ram")  # of other settings than the runtime's other figures
