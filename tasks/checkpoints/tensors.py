"""The tensors of safetensors files: all shards of a folder as one, mapped into memory, read when they are asked for."""

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.decoder.spec import Shape
from tasks.errors import ModelError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
FLOATS = ("F64", "F32", "F16", "BF16")
TEXT_LIMIT = 1 << 28  # bytes of a file of JSON that are read at most


class Tensors(Protocol):
    """Where the tensors of a checkpoint are read from."""

    path: Path  # told in errors

    def shapes(self) -> dict[str, Shape]:
        """What there is, by name; no tensor is read."""

    def read(self, name: str) -> NDArray[np.float32]:
        """A tensor, as float32."""


class Safetensors:
    """Of a folder of Hugging Face.

    Raises:
        ModelError: there is no such file, one is damaged or promises more than it holds, or two hold one tensor.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._files: dict[str, Any] = {}
        for path in _shards(folder):
            for name in (opened := _opened(path)).keys():  # noqa: SIM118  # it is no dict
                if name in self._files:
                    raise ModelError(f"{path}: the tensor {name!r} is in another file, too")
                self._files[name] = opened

    def shapes(self) -> dict[str, Shape]:
        """What there is, by name."""
        return {name: tuple(file.get_slice(name).get_shape()) for name, file in self._files.items()}

    def read(self, name: str) -> NDArray[np.float32]:
        """A tensor, as float32.

        Raises:
            ModelError: it holds no floats, or ones of eight bits, which need scales.
        """
        import ml_dtypes  # noqa: F401  # tells numpy what bfloat16 is

        file = self._files[name]
        kind = file.get_slice(name).get_dtype()
        if kind not in FLOATS:
            raise ModelError(f"{self.path}: the tensor {name!r} is {kind}; supported: {', '.join(FLOATS)}")
        found: NDArray[np.float32] = file.get_tensor(name).astype(np.float32, copy=False)
        return found


def _shards(folder: Path) -> list[Path]:
    if (index := folder / INDEX).is_file():
        listed = read_json(index).get("weight_map")
        if not isinstance(listed, dict) or not all(isinstance(name, str) for name in listed.values()):
            raise ModelError(f"{index}: weight_map: a table of file names expected")
        found = [folder / name for name in sorted(set(listed.values()))]
        for path in found:
            if path.parent != folder or not path.is_file():
                raise ModelError(f"{index}: names {path.name!r}, which is not in {folder}")
        return found
    if (path := folder / SINGLE).is_file():
        return [path]
    if found := sorted(folder.glob("*.safetensors")):
        return found
    if pickled := sorted(each.name for each in folder.iterdir() if each.suffix in PICKLED):
        raise ModelError(
            f"{folder}: no .safetensors file; {pickled[0]} is a pickle, which runs code when it is read, so it is not: "
            "have transformers write the checkpoint again (`save_pretrained`), which gives safetensors"
        )
    raise ModelError(f"{folder}: no .safetensors file")


def _opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError) as error:
        told = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: not a whole safetensors file ({path.stat().st_size:,} bytes): {told}") from None


def read_json(path: Path) -> dict[str, Any]:
    """A table in a file of JSON.

    Raises:
        ModelError: there is none, or it is no such file.
    """
    try:
        size = path.stat().st_size
        if size > TEXT_LIMIT:
            raise ModelError(f"{path}: {size:,} bytes; at most {TEXT_LIMIT:,} are read of a file of JSON")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(f"{path}: a table expected; received a {type(found).__name__}")
    return found
