"""The float32 file of a decoder, which takes minutes to make: once for all that differ in their weights alone.

What is made from a model by `smooth` or `gptq` has the same graph, and the quantizer begins from floats. So the last
such file of this process is kept, and where its weights lie in it as they are, others are written instead of them.
"""

import atexit
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.decoder import network
from tasks.formats import tflite
from tasks.scratch import scratch

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class _Made:
    key: str
    path: Path
    digests: dict[str, str]  # of each weight's bytes, by its name
    folder: ExitStack


_lock = threading.Lock()
_last: list[_Made] = []


def of(model: "tf_keras.Model", asked: Any, convert: Callable[[], bytes], says: Callable[[bytes], bool]) -> bytes:
    """The float32 file of a decoder.

    Args:
        model: the decoder.
        asked: what beside it says how the file is made; JSON.
        convert: makes it.
        says: whether a file says what the model says. A weight that went into other constants too would show here.
    """
    key = hashlib.sha256(json.dumps([model.to_json(), asked]).encode()).hexdigest()
    digests = {name: _digest(value) for name, value in network.weights(model)}
    with _lock:
        known = _last[0] if _last and _last[0].key == key else None
        content = _with_weights(known, model, digests) if known else None
        if content and (digests == known.digests or says(content)):  # type: ignore[union-attr]  # then it is known
            return content
        content = convert()
        _keep(key, content, digests)
    return content


def _forget() -> None:
    while _last:
        _last.pop().folder.close()


atexit.register(_forget)


def _keep(key: str, content: bytes, digests: dict[str, str]) -> None:
    _forget()
    folder = ExitStack()
    path = folder.enter_context(scratch("floats")) / "model.tflite"
    path.write_bytes(content)
    _last.append(_Made(key, path, digests, folder))


def _with_weights(known: _Made, model: "tf_keras.Model", digests: dict[str, str]) -> bytes | None:
    """The known file with the model's weights; None where one of those that differ does not lie there by itself."""
    content = known.path.read_bytes()
    changed = {known.digests[name]: name for name, digest in digests.items() if digest != known.digests[name]}
    if not changed:
        return content
    often = Counter(known.digests.values())
    if any(often[digest] > 1 for digest in changed):  # which of them shall it be?
        return None
    objects, values = tflite.objects(content), dict(network.weights(model))
    for buffer in objects.buffers:
        if buffer.data is not None and (name := changed.pop(_digest(np.asarray(buffer.data)), None)):
            buffer.data = np.frombuffer(values[name].tobytes(), np.uint8)
    if changed:
        return None
    return tflite.pack(objects)


def _digest(value: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()
