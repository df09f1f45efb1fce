"""Stage `benchmark`: measure one variant on one device."""

import numpy as np

from tasks import paths, track
from tasks.bench.pair import measure
from tasks.bench.request import made_in
from tasks.files import replaced
from tasks.params import Params


def benchmark(params: Params, variant: str, device: str) -> None:
    """Write `out/benchmarks/<variant>@<device>.json` and, beside it, the raw samples (none for an estimate).

    A variant that cannot run on the device is a result, of status `unsupported`.

    Raises:
        DeviceError: the device failed; the flow tries once more.
        DataError, ParamsError: an input of the stage is missing or wrong.
    """
    record, raw = paths.benchmark(variant, device), paths.samples(variant, device)
    for old in (record, raw):  # should this fail, what they say is of an older artifact or machine
        old.unlink(missing_ok=True)
    made, reference = (made_in(paths.artifact(name)) for name in (variant, params.benchmark.reference))
    protocol, metric = params.benchmark.protocol, params.metric
    result = measure(made, reference, device, protocol, ("validation", "test"), metric, track.settle)
    with replaced(raw) as path, path.open("wb") as file:
        np.savez_compressed(file, **result.samples)
    result.measurement.save(record)
