"""Examples, whether or not they fit into memory: what every stage that reads data asks of them.

Whoever needs numbers takes a few examples and reads those: `batches` goes through all of them so, `arrays` reads
what is small. Targets are at hand always, because splitting, fitting and judging look at all of them at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CHUNK = 2**28  # bytes of inputs that are in memory at a time where all of them are gone through


class Examples(Protocol):
    """A number of examples: named inputs [n, ...], which may be read late, and named targets [n, ...]."""

    @property
    def targets(self) -> dict[str, Array]:
        """What is to be answered, by name."""

    def __len__(self) -> int: ...

    def take(self, indices: NDArray[np.int64]) -> "Examples":
        """The examples at `indices`, in that order."""

    def arrays(self) -> "Arrays":
        """All of them in memory.

        Raises:
            DataError: a file that an example is read from is not what it was.
        """

    def also(self, targets: dict[str, Array]) -> "Examples":
        """The same examples with further targets."""


@dataclass(frozen=True)
class Arrays:
    """Examples in memory: arrays whose first axis counts the examples, the same for all of them."""

    inputs: dict[str, Array]
    targets: dict[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def take(self, indices: NDArray[np.int64]) -> "Arrays":
        """The examples at `indices`, in that order."""
        return Arrays(
            {name: array[indices] for name, array in self.inputs.items()},
            {name: array[indices] for name, array in self.targets.items()},
        )

    def arrays(self) -> "Arrays":
        """Themselves."""
        return self

    def also(self, targets: dict[str, Array]) -> "Arrays":
        """The same examples with further targets."""
        return Arrays(self.inputs, self.targets | targets)


def first(examples: Examples, count: int) -> Arrays:
    """The first `count` examples, or all where there are fewer, in memory."""
    return examples.take(np.arange(min(count, len(examples)))).arrays()


def batches(examples: Examples, size: int) -> Iterator[Arrays]:
    """All examples in their order, `size` at a time."""
    for start in range(0, len(examples), size):
        yield examples.take(np.arange(start, min(start + size, len(examples)))).arrays()


def chunks(examples: Examples) -> Iterator[Arrays]:
    """All examples in their order, as many at a time as `CHUNK` bytes hold; those in memory all at once."""
    if isinstance(examples, Arrays):
        yield examples
        return
    size = sum(array.nbytes for array in first(examples, 1).inputs.values())
    yield from batches(examples, max(1, CHUNK // size))


def save_inputs(path: Path, examples: Examples) -> None:
    """Write the inputs of all examples as `numpy.savez` does, a chunk at a time: [n, ...] by name."""
    if isinstance(examples, Arrays):
        np.savez(path, allow_pickle=False, **examples.inputs)
        return
    described = first(examples, 1).inputs
    with ZipFile(path, "w") as archive:
        for name, one in described.items():  # a zip file holds one member after the other
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                header = np.lib.format.header_data_from_array_1_0(one) | {"shape": (len(examples), *one.shape[1:])}
                np.lib.format.write_array_header_1_0(member, header)
                for chunk in chunks(examples):
                    member.write(np.ascontiguousarray(chunk.inputs[name]).tobytes())
