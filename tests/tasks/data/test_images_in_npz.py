"""Integers in `.npz` files: which are images, what becomes of them, and that a bundle takes them as they came."""

import json

import numpy as np
import pytest

from tasks.data.npz import load
from tasks.errors import DataError
from tasks.examples import dataset, preprocess
from tasks.examples.features import preprocessing
from tasks.params import Params, Prepare
from tasks.stages.prepare import prepare

RNG = np.random.default_rng(0)
N = 20


def pixels(*shape, dtype=np.uint8):
    return RNG.integers(0, 256, (N, *shape)).astype(dtype)


def source_of(folder, x, test=None):
    for name, values in (("train", x), ("test", test)):
        if values is not None:
            np.savez(folder / f"{name}.npz", **{"inputs.x": values, "targets.label": np.arange(len(values)) % 2})
    return load(Prepare(source="npz", path=str(folder)))


IMAGES = {
    "colours": (pixels(9, 7, 3), (9, 7, 3)),
    "grey": (pixels(9, 7), (9, 7, 1)),
    "grey with its axis": (pixels(9, 7, 1), (9, 7, 1)),
    "tiny ones": (pixels(2, 2), (2, 2, 1)),
    "many bands": (pixels(4, 4, 6), (4, 4, 6)),
    "wider integers": (pixels(9, 7, 3, dtype=np.int32), (9, 7, 3)),
    "grey, wider": (pixels(9, 8, dtype=np.int64), (9, 8, 1)),
    "with alpha": (pixels(5, 5, 4, dtype=np.uint16), (5, 5, 4)),
}
NUMBERS = {
    "tokens": pixels(12),
    "tokens of bytes": pixels(12, dtype=np.int64),
    "floats": pixels(9, 7, 3).astype(np.float32),
    "negative": pixels(9, 9, 3, dtype=np.int32) - 128,
    "beyond a byte": pixels(9, 9, 3, dtype=np.int32) * 2,
    "another number of channels": pixels(9, 9, 5, dtype=np.int32),
    "few features by step": pixels(30, 4, dtype=np.int32),
}


@pytest.mark.parametrize(("x", "shape"), IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("normalize", ["unit", "standard", "none"])
def test_images_are_normalised_as_images_and_a_bundle_takes_them_as_they_came(tmp_path, x, shape, normalize):
    source = source_of(tmp_path, x)
    described = preprocessing(source, source.train, Prepare(source="npz", path=".", normalize=normalize))
    entry = json.loads(json.dumps(described["inputs"]["x"]))
    assert (entry["kind"], tuple(entry["shape"])) == ("image", shape)
    plain = x.reshape(N, *shape).astype(np.float64)
    axes = (0, 1, 2)
    mean, scale = {
        "unit": (0, 255),
        "standard": (plain.mean(axes), plain.std(axes)),
        "none": (0, 1),
    }[normalize]
    ready = preprocess.apply(entry, x.astype(np.uint8))  # grey ones without their last axis, too
    assert ready.dtype == np.float32
    np.testing.assert_allclose(ready, (plain - mean) / scale, rtol=1e-5, atol=1e-5)
    spec = dataset.tensor_spec(entry)
    assert (spec.shape, spec.dtype, spec.pixels.raw) == (shape, "float32", normalize == "none")


@pytest.mark.parametrize("x", NUMBERS.values(), ids=NUMBERS)
def test_numbers_stay_numbers(tmp_path, x):
    source = source_of(tmp_path, x)
    entry = preprocessing(source, source.train, Prepare(source="npz", path="."))["inputs"]["x"]
    assert entry == {
        "kind": "array",
        "shape": list(x.shape[1:]),
        "dtype": "float32" if x.dtype.kind == "f" else "int32",
        **({} if x.dtype.kind == "f" or x.min() < 0 else {"vocabulary": int(x.max()) + 1}),
    }
    assert dataset.tensor_spec(entry).pixels is None


def test_a_test_file_of_other_integers_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"test\.npz: inputs\.x: pixels from 0 to 255 expected; received 0 to 999"):
        source_of(tmp_path, pixels(9, 9, 3), np.arange(N * 243).reshape(N, 9, 9, 3) % 1000)


def test_classes_without_examples_are_named(project, caplog):
    np.savez("train.npz", **{
        "inputs.x": RNG.random((N, 3)),
        "targets.label": np.zeros(N, int),
        "classes": np.array(["cat", "dog", "emu"]),
    })  # fmt: skip
    prepare(
        Params.model_validate({
            "name": "x", "prepare": {"source": "npz", "path": "."}, "model": {"family": "cnn"}, "train": {"epochs": 1},
            "quantize": {"fp32": {"model": "baseline", "scheme": "float32"}}, "compress": {}, "bundle": {},
            "benchmark": {"reference": "fp32", "devices": ["host-cpu"], "protocol": {"mode": "quick"}},
        })
    )  # fmt: skip
    assert "the train split has no example of dog, emu: no model can learn them" in caplog.text
    assert "the test split has no example of dog, emu: no model is judged on them" in caplog.text
