"""One file of a decoder's programs: a zip of what each is, of their weights, once, and of a page that describes them.

lm.json               what each program takes and gives, by name, in order: [name, shape, dtype], and the bytes that
                      a step of it reads; `room_256_decode` and so on read the first 256 places of the caches alone
weights.safetensors   integers of 4 bits two in a byte, the lower first
decode.stablehlo …
"""

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from tasks.bench.runner.packed import MANIFEST, WEIGHTS, named
from tasks.decoder.portable import Network, Weight
from tasks.quantize.programs import Described, Program

SCHEMA = 1


def pack(network: Network, programs: Mapping[str, Program], batch: int, room: int) -> bytes:
    """The file; the same weights and programs give the same bytes."""
    files = {f"{name}.stablehlo": program.content for name, program in programs.items()}
    page = json.dumps(manifest(network, programs, batch, room), indent=1) + "\n"
    files = {MANIFEST: page.encode(), WEIGHTS: _safetensors(network), **files}
    whole = io.BytesIO()
    with ZipFile(whole, "w", ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(ZipInfo(name), content)
    return whole.getvalue()


def manifest(network: Network, programs: Mapping[str, Program], batch: int, room: int) -> dict[str, Any]:
    """What `lm.json` says."""
    return {
        "schema": SCHEMA,
        "batch": batch,
        "room": room,
        "vocabulary": network.vocabulary,
        "numbers": vars(network.numbers),
        "weights": _rows({name: (weight.shape, weight.dtype) for name, weight in network.weights.items()}),
        "programs": {
            name: {
                "file": f"{name}.stablehlo",
                "sha256": hashlib.sha256(program.content).hexdigest(),
                "arguments": _rows(program.arguments),
                "results": _rows(program.results),
                "donated": program.donated,
                "bytes_read": bytes_read(network, batch, program.seen),
            }
            for name, program in programs.items()
        },
        "bytes_read": bytes_read(network, batch, room),
    }


def bytes_read(network: Network, batch: int, seen: int) -> int:
    """What a step reads: every weight once but tables that are only looked up, and so many places of the caches."""
    weights = sum(weight.bytes for weight in network.weights.values() if not weight.looked_up)
    caches = network.caches(batch, seen).values()
    return weights + sum(int(np.prod(shape) * named(dtype).itemsize) for shape, dtype in caches)


def _rows(described: Described) -> list[list[Any]]:
    return [[name, list(shape), dtype] for name, (shape, dtype) in described.items()]


def _safetensors(network: Network) -> bytes:
    from safetensors.numpy import save

    content: bytes = save({name: _stored(weight) for name, weight in network.weights.items()})
    return content


def _stored(weight: Weight) -> Any:
    """A weight's values as they lie in the file."""
    value = weight.value()
    if weight.dtype != "int4":
        return np.ascontiguousarray(value.astype(named(weight.dtype)))
    flat = np.append(value.reshape(-1), np.zeros(value.size % 2, np.int8)).view(np.uint8) & 15
    return flat[::2] | flat[1::2] << 4
