"""How a kind of device runs artifacts, and what it ships of one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.bench.answers import Answer
from tasks.bench.request import Artifact
from tasks.bench.transport import Session
from tasks.errors import UnsupportedError

NO_STATE = "a file that keeps a state from call to call, as a language model does, runs through LiteRT and PJRT alone"


@dataclass(frozen=True)
class Setup:
    """How a kind of device runs artifacts."""

    session: Session
    runtime: str  # a module of the runner
    options: dict[str, Any]  # the runtime's
    energy: dict[str, str]  # sources of readings, see the runner's `counters.find`
    watts_per_core: tuple[float, float, float]  # low, nominal, high: for an estimate where no counter can be read
    code: Path | None = None  # the file of that module, where it is none of ours: it is sent with every request
    model: Callable[[Artifact], Path] = lambda artifact: artifact.path  # the file that the runtime takes
    profiles: bool = False  # whether the runtime can say how long each operator takes
    generates: str | None = None  # the runner's module for what keeps a state between calls
    describe: bool = False  # whether the runtime must be told of the artifact's inputs and outputs
    reads: Callable[[Artifact, int], int] | None = None  # bytes of a token at a place; None: those of its LiteRT file
    offloads: bool = False  # whether another processor computes, while the process that is timed may sleep

    def files(self, artifact: Artifact) -> dict[str, Path]:
        """What every request to the runner about an artifact sends."""
        return {"model": self.model(artifact)} | ({"code": self.code} if self.code else {})

    def ask(self, action: str, artifact: Artifact) -> dict[str, Any]:
        """What every request to the runner about an artifact holds.

        Raises:
            UnsupportedError: it keeps a state between calls, and the runtime cannot.
        """
        card, options = artifact.card, dict(self.options)
        if card.scenario == "generate":
            if self.generates is None:
                raise UnsupportedError(f"{card.variant}: {NO_STATE}")
            options["signatures"] = [signature.model_dump() for signature in card.signatures]
            options["asked"] = card.asked if action == "predict" else None
            return {"action": action, "runtime": self.generates, "scenario": card.scenario, "options": options}
        if self.describe:
            sides = {"inputs": card.inputs, "outputs": card.outputs}
            options |= {side: [tensor.model_dump() for tensor in tensors] for side, tensors in sides.items()}
        return {"action": action, "runtime": self.runtime, "scenario": card.scenario, "options": options}


def accepted(variant: str, answer: Answer) -> None:
    """Go on with an answer only where the runtime took the file.

    Raises:
        UnsupportedError: it refuses it.
    """
    if answer.status == "unsupported":
        raise UnsupportedError(f"{variant}: the runtime refuses it: {answer.reason}")


@dataclass(frozen=True)
class Shipped:
    """The program of a bundle."""

    file: str  # that the figures are of
    found_by: str  # what found them: name and version
    runs: str  # what runs the file on the device, or that nothing did: a sentence
    serves: str  # the file that the bundle's script runs: the same, or what stands in for it
    module: str  # of the runner, that runs it
    options: dict[str, Any]  # the module's
    output: str  # that quality is of
    requires: tuple[str, ...]  # packages that the script needs beside numpy, as pip takes them
    bound: float | None = None  # how far its answers may lie from expected ones, over their spread; None: as its scheme
    code: Path | None = None  # the file of that module, where it is none of ours
