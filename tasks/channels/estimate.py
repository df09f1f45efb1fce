"""What a device is estimated to take for one inference of a Keras model, while it is being compressed."""

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.bench import devices
from tasks.bench.kinds import KINDS
from tasks.bench.request import Artifact, Request
from tasks.errors import ModelError, ParamsError
from tasks.examples import first
from tasks.files import sha256
from tasks.params import Protocol
from tasks.quantize import litert
from tasks.records import Runnable
from tasks.scratch import scratch

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples

CALIBRATION = 8  # examples: ranges change no time


def latency_ms(model: "tf_keras.Model", device: str, train: "Examples") -> float:
    """The latency of the model at batch 1, at the scheme that the device's kind estimates.

    Raises:
        ParamsError: there is no such device, or it is measured and not estimated.
        ModelError: the device cannot run the whole model.
        ConversionError: the model cannot be converted.
        UnsupportedError: the device refuses it.
    """
    found = devices.load(device)
    kind = KINDS.load(found.kind)
    if kind.estimates is None:
        able = ", ".join(sorted(name for name in KINDS if KINDS.load(name).estimates))
        raise ParamsError(
            f"device: received {device!r}, of kind {found.kind!r}; only the kinds {able} estimate a latency"
        )
    scheme = kind.estimates
    content = litert.convert(model, scheme, first(train, CALIBRATION))
    with scratch("estimate") as folder:
        path = Path(folder, "model.tflite")
        path.write_bytes(content)
        artifact = Artifact(Runnable(variant=model.name, scheme=scheme, sha256=sha256(path)), path)
        request = Request(artifact, artifact, found, Protocol(mode="quick"), inputs=path)
        measurement = kind.measure(request).measurement
    if measurement.latency is None:
        raise ModelError(f"slim: {device} gives no latency for the model: {measurement.reason}")
    return measurement.latency.ms_p50
