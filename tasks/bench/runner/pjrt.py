"""PJRT through jaxlib alone, without jax: portable artifacts of StableHLO, on a processor, NVIDIA GPU or TPU.

What jaxlib calls private is all that it has for this. Seen to work: 0.10.2 and 0.11.2.
"""

import ctypes
import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .arrays import Arrays, Example, RefusedError, one_line
from .machine import installed
from .nvml import Gpu, GpuError
from .tensors import Described

PACKAGE = "jaxlib"
MODULE = "jaxlib.xla_client"
REFUSALS: tuple[type[Exception], ...] = ()  # it compiles the whole model beforehand, and refuses it then or never
PLUGINS = {"cuda": ("jax_plugins", "xla_cuda*/xla_cuda_plugin.so"), "tpu": ("libtpu", "libtpu.so")}
PACKAGES = {"cuda": ("jax-cuda13-pjrt", "jax-cuda12-pjrt"), "tpu": ("libtpu",)}
# what CUDA's plugin looks for by name, in the order of jax' own loader; cuDNN's search for nvrtc goes astray by itself
LIBRARIES = (
    *("cudart", "nvrtc", "cublasLt", "cublas", "nccl", "cupti"),
    *("cusparse", "cusolver", "cufft", "nvshmem_host", "cudnn"),
)


class Reached:
    """The first device of a platform ("cpu", "cuda" or "tpu"), or the processor by so many threads."""

    def __init__(self, platform: str, threads: int) -> None:
        self._platform, self._client = platform, _client(platform, threads)

        from jaxlib import xla_client

        self.device = self._client.devices()[0]
        self._devices = xla_client.DeviceList((self.device,))
        self._sharding, self._transfer = _on(self.device), xla_client.batched_device_put

    def compiled(self, content: bytes, flags: dict[str, Any] | None = None) -> Any:
        """A portable artifact as a program, with flags of XLA's own.

        Raises:
            RefusedError: the compiler refuses it.
        """
        from jaxlib import xla_client

        options = xla_client.CompileOptions()
        options.env_option_overrides = list((flags or {}).items())
        try:
            return self._client.compile_and_load(content, self._devices, options)
        except RuntimeError as error:
            raise RefusedError(one_line(error)) from None

    def put(self, value: Any) -> Any:
        """Bring an array to the device, and wait until it is there."""
        about = SimpleNamespace(shape=value.shape, dtype=value.dtype, ndim=value.ndim, weak_type=False)
        # `enable_x64`: types as they are
        array = self._transfer(about, self._sharding, [value], [self.device], enable_x64=True)
        return array.block_until_ready()

    def facts(self) -> dict[str, Any]:
        """The most memory that the device's allocator gave out, and what the GPU says of itself."""
        memory = self.device.memory_stats() or {}  # a processor's device does not say
        found: dict[str, Any] = {f"device_{key}": memory[key] for key in ("peak_bytes_in_use",) if key in memory}
        if self._platform == "cuda":
            found["environment"] = {"plugin": installed_plugin(self._platform)}
            with suppress(GpuError):
                found["environment"] |= Gpu().facts()
        return found


def run(program: Any, arguments: list[Any]) -> list[Any]:
    """Start a program; its results, which are there once they are read."""
    return [each for (each,) in program.execute_sharded(arguments).disassemble_into_single_device_arrays()]


def read(array: Any) -> Any:
    """An array of the device in this machine's memory, once it is there."""
    return array._single_device_array_to_np_array_did_copy()[0]


class Model(Described):
    """An artifact in the runtime; `arrays` documents the interface.

    `options`: `platform` ("cpu", "cuda" or "tpu"), `threads` (of a processor), and those of `Described`.
    """

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        self._reached = Reached(options["platform"], options["threads"])
        self._program = self._reached.compiled(Path(path).read_bytes())

        from jaxlib import xla_client

        (network,) = self._program.hlo_modules()
        shape = xla_client.XlaComputation(network.as_serialized_hlo_module_proto()).program_shape()
        taken, given = shape.parameter_shapes(), shape.result_shape()
        results = given.tuple_shapes() if given.is_tuple() else [given]
        inputs, outputs = ({k: one.numpy_dtype() for k, one in enumerate(side)} for side in (taken, results))
        super().__init__(options, inputs, outputs)
        self._shapes = dict(zip(self.inputs, (one.dimensions() for one in taken), strict=True))
        self._arguments: list[Any] = [None] * len(inputs)
        self._results: list[Any] = []

    def prepare(self, columns: Arrays) -> list[Example]:
        """Every example, batch of one, in the model's types.

        Raises:
            RefusedError: an example is of another shape than the model was compiled for.
        """
        for name, column in columns.items():
            if self._shapes[name] != (1, *column.shape[1:]):
                raise RefusedError(f"{name}: compiled for {self._shapes[name]}; received {(1, *column.shape[1:])}")
        return super().prepare(columns)

    def put(self, example: Example) -> None:
        """Bring one example to the device, and wait until it is there."""
        for index, value in example:
            self._arguments[index] = self._reached.put(value)

    def invoke(self) -> None:
        """Start one inference; `read` waits for its end."""
        self._results = run(self._program, self._arguments)

    def read(self) -> list[Any]:
        """The outputs, in this machine's memory."""
        return [read(array) for array in self._results]

    def facts(self) -> dict[str, Any]:
        """What the device says of itself."""
        return self._reached.facts()

    def operators(self) -> list[dict[str, Any]]:
        """Nothing: the runtime does not tell what of a compiled program took how long."""
        return []


def plugin(platform: str) -> Path | None:
    """The library by which PJRT reaches a GPU or a TPU; null where it is not installed."""
    package, pattern = PLUGINS[platform]
    found = find_spec(package)
    folders = found.submodule_search_locations or () if found else ()
    return next((file for folder in folders for file in sorted(Path(folder).glob(pattern))), None)


def installed_plugin(platform: str) -> str | None:
    """Name and version of the package that brings it; null where it is not installed."""
    found = (f"{name} {version}" for name in PACKAGES[platform] if (version := installed(name)))
    return next(found, None)


def _client(platform: str, threads: int) -> Any:
    """A connection to the platform's first device, or to the processor."""
    os.environ["NPROC"] = str(threads)  # how many XLA starts, whatever XLA_FLAGS say; read with the client's start
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # NVML's, so that both speak of the same GPU

    from jaxlib import xla_client

    if platform == "cpu":
        return xla_client.make_cpu_client(asynchronous=threads > 1)  # else a second thread does all the work
    library = plugin(platform)
    if library is None:
        raise RuntimeError(f"no PJRT plugin for {platform} is installed")
    options: dict[str, Any] = {}
    if platform == "cuda":
        _load_libraries()
        options = {**xla_client.generate_pjrt_gpu_plugin_options(), "preallocate": False, "visible_devices": [0]}
    xla_client.load_pjrt_plugin_dynamically(platform, str(library))
    if not xla_client.pjrt_plugin_initialized(platform):
        xla_client.initialize_pjrt_plugin(platform)
    return xla_client.make_c_api_client(platform, options)


def _load_libraries() -> None:
    """Load CUDA's libraries where they are Python packages; where not, the system's are found by themselves."""
    found = find_spec("nvidia")
    folders = found.submodule_search_locations or () if found else ()
    for name in LIBRARIES:
        for file in (file for folder in folders for file in sorted(Path(folder).glob(f"*/lib/lib{name}.so.*"))):
            with suppress(OSError):
                ctypes.CDLL(str(file))


def _on(device: Any) -> Any:
    """The sharding of an array that lies whole on one device: jaxlib's, with what jax would add to it."""
    from jaxlib import xla_client

    class Whole(xla_client.SingleDeviceSharding):  # type: ignore[misc]  # jaxlib says nothing of its types
        memory_kind = None

        def _to_xla_hlo_sharding(self, _dimensions: int) -> Any:
            return xla_client.HloSharding.replicate()

    return Whole(device)
