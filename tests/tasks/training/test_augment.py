"""Images are changed as asked, by (seed, step) alone, and only where they are learnt from."""

import numpy as np
import pytest

from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.params import Finetune, Training
from tasks.params.training import Augment
from tasks.training import augment, fit
from tasks.training.asked import Asked

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
fit.import_tensorflow()
import tensorflow as tf  # noqa: E402  # without Keras 3, as in the stages

RNG = np.random.default_rng(0)
N, HEIGHT, WIDTH = 64, 8, 6
IMAGES = RNG.uniform(1, 2, (N, HEIGHT, WIDTH, 2)).astype(np.float32)  # nowhere 0


def changed(seed=(0, 0), images=IMAGES, **keys):
    return augment.changed(tf.constant(images), Augment(**keys), tf.constant(seed)).numpy()


@pytest.mark.parametrize(
    ("flip", "axes"), [("horizontal", [(2,)]), ("vertical", [(1,)]), ("both", [(1,), (2,), (1, 2)])]
)
def test_about_half_are_turned_over_along_each_axis(flip, axes):
    found = changed(flip=flip)
    kinds = [IMAGES, *(np.flip(IMAGES, axis) for axis in axes)]
    of = np.array([[(image == kind[i]).all() for kind in kinds] for i, image in enumerate(found)])
    assert (of.sum(axis=1) == 1).all()
    assert (of.mean(axis=0) > 0.5 / len(kinds)).all()


@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("reflect", "symmetric"), ("nearest", "edge")])
def test_a_shift_is_by_whole_pixels_within_its_share_and_fills_as_asked(fill, mode):
    found, seen = changed(shift=0.25, fill=fill), set()
    rows, columns = round(0.25 * HEIGHT), round(0.25 * WIDTH)
    padded = np.pad(IMAGES, ((0, 0), (rows, rows), (columns, columns), (0, 0)), mode=mode)
    for i, image in enumerate(found):
        here = [
            (y, x)
            for y in range(2 * rows + 1)
            for x in range(2 * columns + 1)
            if (padded[i, y : y + HEIGHT, x : x + WIDTH] == image).all()
        ]
        assert len(here) == 1
        seen.update(here)
    assert len(seen) > 0.8 * (2 * rows + 1) * (2 * columns + 1)


def test_a_rotation_keeps_the_middle_and_turns_no_further_than_asked():
    """A bright point beside the middle stays at its distance, at an angle within the bound, on either side."""
    image = np.zeros((N, 33, 33, 1), np.float32)
    image[:, 15:18, 26:29] = 1
    found = changed(images=image, rotate=30)[..., 0]
    y, x = (np.arange(33) - 16 for _ in range(2))
    mass = found.sum(axis=(1, 2))
    centre_y, centre_x = (found * y[:, None]).sum(axis=(1, 2)) / mass, (found * x).sum(axis=(1, 2)) / mass
    angle = np.degrees(np.arctan2(centre_y, centre_x))
    assert np.hypot(centre_y, centre_x) == pytest.approx(11, abs=0.3)
    assert angle.min() < -20 and angle.max() > 20  # noqa: PT018 - one statement of both ends
    assert abs(angle).max() < 31


def test_a_square_is_blanked_and_nothing_else_changes():
    found = changed(cutout=0.5)
    blank = found == 0
    assert (found[~blank] == IMAGES[~blank]).all()
    side = round(0.5 * min(HEIGHT, WIDTH))
    for image in blank:
        rows, columns = np.flatnonzero(image.any(axis=(1, 2))), np.flatnonzero(image.any(axis=(0, 2)))
        assert image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert image.sum() == 2 * len(rows) * len(columns)
        assert max(len(rows), len(columns)) <= side
    assert blank.sum(axis=(1, 2, 3)).max() == 2 * side * side


def test_the_same_seed_changes_alike_and_another_otherwise():
    keys = {"flip": "both", "shift": 0.25, "rotate": 10, "cutout": 0.3}
    assert (changed(**keys) == changed(**keys)).all()
    assert (changed(**keys) != changed((0, 1), **keys)).any()
    assert (changed() == IMAGES).all()


LABELS = RNG.integers(0, 3, N)
DATA = Arrays({"image": IMAGES}, {"label": LABELS})


def network():
    fit.reset(0)
    inputs = keras.Input((HEIGHT, WIDTH, 2), name="image")
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def test_a_fitting_that_goes_on_sees_what_it_would_have_seen(tmp_path):
    params = Training(epochs=3, batch_size=16, augment=Augment(flip="horizontal", shift=0.2))
    whole = network()
    fit.fit(whole, DATA, DATA, params, label="whole")
    stopped = network()

    def stop(epoch, _metrics):
        if epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit.fit(stopped, DATA, DATA, params, label="stopped", checkpoint=tmp_path / "c", on_epoch=stop)
    again = network()
    fit.fit(again, DATA, DATA, params, label="again", checkpoint=tmp_path / "c")
    assert all((a == b).all() for a, b in zip(whole.get_weights(), again.get_weights(), strict=True))
    plain = network()
    fit.fit(plain, DATA, DATA, params.model_copy(update={"augment": None}), label="plain")
    assert any((a != b).any() for a, b in zip(whole.get_weights(), plain.get_weights(), strict=True))


def test_a_teacher_answers_to_the_images_as_they_are_changed():
    """A student that is its teacher has nothing to learn; from answers to the images as they were it has."""
    keys = {"flip": "both", "shift": 0.3}
    params = Finetune(
        method="finetune", parent="a", teacher="a", teacher_weight=1, temperature=2, epochs=1, learning_rate=1e-9,
        optimizer="sgd", augment=Augment(**keys),
    )  # fmt: skip
    losses = []
    for given in (Asked(network()), network().predict(IMAGES, verbose=0)):
        student = network()
        data = DATA.also({"teacher": given})
        losses.append(fit.fit(student, data, DATA, params, label="taught")["loss"][0])
    assert losses[0] == pytest.approx(0, abs=1e-5)
    assert losses[1] > 0.01


def test_what_judges_is_not_changed():
    seen = []

    class Seen(keras.layers.Layer):
        def call(self, inputs, training=None):
            if not training:
                tf.numpy_function(lambda x: seen.append(x) or np.float32(0), [inputs], tf.float32)
            return inputs

    fit.reset(0)
    inputs = keras.Input((HEIGHT, WIDTH, 2), name="image")
    x = keras.layers.Flatten()(Seen()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    fit.fit(model, DATA, DATA, Training(epochs=1, augment=Augment(flip="horizontal", shift=0.3)), label="seen")
    assert (np.concatenate(seen) == IMAGES).all()


def test_what_are_no_images_is_refused():
    data = Arrays({"x": RNG.normal(size=(8, 4)).astype(np.float32)}, {"label": LABELS[:8]})
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    with pytest.raises(ModelError, match="augment: it is for images, and the data have none"):
        fit.fit(model, data, data, Training(epochs=1, augment=Augment(flip="both")), label="test")
