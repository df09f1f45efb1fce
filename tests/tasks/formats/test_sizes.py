"""What an artifact weighs: against the programs' own unpacking, and what zeros and repetitions change."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import zstandard

from tasks import paths
from tasks.bench import devices
from tasks.bench.kinds import ethos_u
from tasks.formats import sizes
from tasks.quantize import litert

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = 16


def test_sizes_are_those_of_files_that_unpack_to_the_same():
    content = np.random.default_rng(0).normal(size=5000).round(1).astype("f4").tobytes()
    found = sizes.of(content)
    packed = gzip.compress(content, 9, mtime=0), zstandard.compress(content, 19)
    assert [gzip.decompress(packed[0]), zstandard.decompress(packed[1])] == [content] * 2
    assert found == {"bytes": 20_000, "gzip_bytes": len(packed[0]), "zstd_bytes": len(packed[1])}


def test_a_large_file_has_no_figure_of_zstd_which_would_take_minutes(monkeypatch):
    monkeypatch.setattr(sizes, "LARGE", 1000)
    assert sizes.of(bytes(1000))["zstd_bytes"] is not None
    assert sizes.of(bytes(1001))["zstd_bytes"] is None


@pytest.mark.parametrize("what", ["zeros", "clusters"])
def test_zeros_and_clusters_pay_where_the_weights_are_packed(what, tmp_path, monkeypatch):
    keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
    from tasks.examples import Arrays
    from tasks.training import fit

    rng = np.random.default_rng(0)
    monkeypatch.setattr(paths, "DEVICES", ROOT / paths.DEVICES)

    def weigh(change):
        fit.reset(0)
        model = keras.Sequential([keras.Input((8, 8, 4), name="image"), keras.layers.Conv2D(64, 3)])
        kernel, bias = model.layers[0].get_weights()
        model.layers[0].set_weights([change(kernel), bias])
        images = rng.random((EXAMPLES, 8, 8, 4)).astype(np.float32)
        content = litert.convert(model, "int8", Arrays({"image": images}, {}))
        file = tmp_path / "model.tflite"
        file.write_bytes(content)
        report = ethos_u.vela(file, devices.load("ethos-u55-128"), tmp_path)
        return sizes.of(content) | {"encoded": report.number("total_npu_encoded_weights")}

    def changed(kernel):
        if what == "zeros":
            return np.where(rng.random(kernel.shape) < 0.8, 0, kernel)
        return np.sign(kernel) * 0.1  # every channel has the same two values

    plain, packed = weigh(lambda kernel: kernel), weigh(changed)
    assert packed["bytes"] == plain["bytes"]
    for name in ("gzip_bytes", "zstd_bytes", "encoded"):
        assert packed[name] < 0.8 * plain[name], name
