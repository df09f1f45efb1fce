"""The kinds of devices, one file each: all that is to say of one stands in its `KIND`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.registry import Registry

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tasks.bench.device import Device
    from tasks.bench.request import Artifact, Foretold, Request, Result
    from tasks.bench.setup import Setup, Shipped
    from tasks.bench.transport import Session


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of device: what its file says, how it measures, and what hangs from it everywhere else.

    `measure` raises UnsupportedError where an artifact cannot run there, of which the message becomes the record's
    reason, and DeviceError where the device did not answer or crashed. `probe` raises DeviceError likewise.
    """

    schema: "type[Device]"  # of a device's file; the docstring says what such a device is
    measure: "Callable[[Request], Result]"
    package: str | None = None  # that nothing can be done without here
    pinned: Path | None = None  # versions and hashes of it and its needs, where Tercet's lock has none: sent by ssh
    programs: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # likewise: Debian's package, and what for
    usable: "Callable[[Device], str | None]" = lambda _: None  # why not here, where the package is installed
    fingerprint: "Callable[[Device], dict[str, Any]]" = lambda _: {}  # what figures hang from beside file and package
    probe: "Callable[[Device], str]" = lambda _: "by its figures alone: there is nothing to start"  # one line of it
    setup: "Callable[[Any, Session], Setup] | None" = None  # how its runtime is asked, here or on another machine
    opens: "Callable[[Device], AbstractContextManager[Setup]] | None" = None  # likewise where it takes a connection
    ships: "Callable[[Artifact, Device, Path], Shipped] | None" = None  # into a bundle; None: nothing can be
    here: bool = False  # it measures this machine, which must be quiet
    board: "Callable[[Device], str] | None" = None  # it measures another one, of this identity whatever its alias
    generates: bool = False  # it runs what keeps a state from call to call, too
    embeds: bool = False  # its program goes into firmware: a bundle has its sources
    own_kernels: bool = False  # accuracy there is not the evaluation's: it answers validation and test itself
    dense: bool = False  # zeros and shared weights cost there what any others cost
    schemes: tuple[str, ...] = ()  # known to run there; where another is refused, the reason begins with them
    estimates: str | None = None  # the scheme that a latency is estimated at without running anything
    foretells: "Callable[[Artifact, Device], Foretold] | None" = None  # an inference, likewise; as `measure` refuses

    @property
    def measures(self) -> bool:
        """Whether something runs alone and is timed; estimates may be made beside each other."""
        return self.here or self.board is not None

    def lock(self, device: "Device") -> str:
        """What the lock is called that a measurement holds: this machine's, or the board's."""
        return f"device-{self.board(device)}" if self.board else "local"


KINDS = Registry(
    "kind of device",
    "tercet.kinds",
    {
        "litert": "tasks.bench.kinds.litert:KIND",
        "onnxruntime": "tasks.bench.kinds.onnxruntime:KIND",
        "openvino": "tasks.bench.kinds.openvino:KIND",
        "pjrt": "tasks.bench.kinds.pjrt:KIND",
        "ssh": "tasks.bench.kinds.ssh:KIND",
        "ethos-u": "tasks.bench.kinds.ethos_u:KIND",
        "mcu-tflm": "tasks.bench.kinds.mcu_tflm:KIND",
        "emulated-arm64": "tasks.bench.kinds.emulated_arm64:KIND",
        "roofline": "tasks.bench.kinds.roofline:KIND",
    },
    Kind,
)
