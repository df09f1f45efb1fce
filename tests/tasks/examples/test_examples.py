"""Whoever works on examples works alike on those that are read late, and never reads many of them at a time."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from tasks.errors import DataError
from tasks.examples import Arrays, batches, chunks, first, save_inputs

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")

from tasks.bench.predict import predict  # noqa: E402
from tasks.channels import saliency, tracing  # noqa: E402
from tasks.compress import sensitivity  # noqa: E402
from tasks.compress.model import answers  # noqa: E402
from tasks.params import Slim, Training  # noqa: E402
from tasks.quantize import litert  # noqa: E402
from tasks.training import fit  # noqa: E402

COUNT, BATCH, CLASSES = 300, 16, 3


@dataclass(frozen=True)
class Late:
    """Examples that are looked up when they are asked for, and that note how many were asked for at a time."""

    held: Arrays
    most: list = field(default_factory=lambda: [0])
    broken: str = ""

    @property
    def targets(self):
        return self.held.targets

    def __len__(self):
        return len(self.held)

    def take(self, indices):
        return Late(self.held.take(indices), self.most, self.broken)

    def also(self, targets):
        return Late(self.held.also(targets), self.most, self.broken)

    def arrays(self):
        if self.broken and len(self.held) > 1:
            raise DataError(self.broken)
        self.most[0] = max(self.most[0], len(self.held))
        return self.held


@pytest.fixture(scope="module")
def held():
    rng = np.random.default_rng(0)
    label = rng.integers(0, CLASSES, COUNT)
    image = rng.normal(size=(COUNT, 6, 6, 2)).astype(np.float32) + label[:, None, None, None]
    return Arrays({"image": image.astype(np.float32)}, {"label": label})


def network():
    fit.reset(0)
    inputs = keras.Input((6, 6, 2), name="image")
    hidden = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax", name="label")(hidden))


def test_fitting_gives_the_same_weights_and_curves(held):
    late, params, found = Late(held), Training(epochs=2, batch_size=BATCH), []
    for examples in (held, late):
        model = network()
        history = fit.fit(model, examples, examples.take(np.arange(100)), params, label="test")
        found.append((history, model.get_weights()))
    assert found[0][0] == found[1][0]
    assert all((a == b).all() for a, b in zip(found[0][1], found[1][1], strict=True))
    assert late.most[0] == 100  # the validation examples, in one batch


def test_an_epoch_is_in_an_order_of_its_own_and_holds_each_example_once(held):
    from tasks.examples.feed import epochs

    late = Late(Arrays({"x": np.arange(COUNT)}, {}))
    seen = [inputs["x"] for inputs, _ in epochs(late, {"y": np.arange(COUNT)}, BATCH, 3, range(2)).as_numpy_iterator()]
    one, other = np.concatenate(seen[: len(seen) // 2]), np.concatenate(seen[len(seen) // 2 :])
    assert sorted(one) == sorted(other) == list(range(COUNT))
    assert (one != other).any()
    assert late.most[0] == BATCH


def test_scores_of_channels_are_the_same(held):
    late, params, found = Late(held), Slim(parent="a", method="slim", keep=0.5, epochs=1, batch_size=BATCH), []
    for examples in (held, late):
        model = network()
        found.append(saliency.score(model, tracing.trace(model), examples, params))
    assert (found[0] == found[1]).all()
    assert late.most[0] == BATCH


def test_sensitivity_and_a_teachers_answers_are_the_same(held):
    late, params, model = Late(held), Training(epochs=1), network()
    found = [sensitivity.measure(model, examples, params)([]) for examples in (held, late)]
    assert found[0] == found[1]
    given = [answers(model, examples) for examples in (held, late)]
    assert (given[0] == given[1]).all()
    assert given[0] == pytest.approx(model(held.inputs["image"]).numpy(), abs=1e-6)
    assert late.most[0] == 256


def test_a_file_is_asked_chunk_by_chunk(held, tmp_path, monkeypatch):
    late, path = Late(held), tmp_path / "model.tflite"
    path.write_bytes(litert.convert(network(), "float32", None))
    whole = predict(path, held)[0]
    monkeypatch.setattr("tasks.examples.CHUNK", 130 * held.inputs["image"][0].nbytes)
    parts = predict(path, late)[0]
    assert [len(chunk) for chunk in chunks(late)] == [130, 130, 40]
    assert {name: array.tobytes() for name, array in whole.items()} == {n: a.tobytes() for n, a in parts.items()}
    assert late.most[0] == 130


def test_inputs_are_written_as_numpy_writes_them(held, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.examples.CHUNK", 1000)
    examples = Arrays(held.inputs | {"number": np.arange(COUNT, dtype=np.int32)[:, None]}, {})
    save_inputs(tmp_path / "whole.npz", examples)
    save_inputs(tmp_path / "parts.npz", Late(examples))
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "parts.npz") as parts:
        assert whole.files == parts.files
        for name in whole.files:
            assert whole[name].dtype == parts[name].dtype
            assert (whole[name] == parts[name]).all()


def test_batches_are_all_of_them_in_order(held):
    assert [len(batch) for batch in batches(Late(held), 128)] == [128, 128, 44]
    assert (np.concatenate([batch.targets["label"] for batch in batches(Late(held), 7)]) == held.targets["label"]).all()
    assert len(first(held, 1000)) == COUNT


def test_what_cannot_be_read_is_told_in_its_own_words(held):
    told = "photos/cat/7.jpg: changed since `prepare`; run `tercet run`"
    with pytest.raises(DataError) as caught:
        fit.fit(network(), Late(held, broken=told), held, Training(epochs=1), label="test")
    assert str(caught.value) == told
