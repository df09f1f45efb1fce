"""What changes no channel hands them on: removing channels on both sides of it is masking them."""

import numpy as np
import pytest

from tasks.channels import surgery
from tasks.channels.tracing import trace
from tasks.compress import slim
from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL
from tasks.params import Slim
from tasks.training import fit, keras_files

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
fit.import_tensorflow()
import tensorflow as tf  # noqa: E402  # without Keras 3, as in the stages

layers = keras.layers
RNG = np.random.default_rng(0)
SIDE, WIDTH = 8, 6


@pytest.fixture(autouse=True)
def _fresh():
    fit.reset(0)


AUGMENTATIONS = {
    "flip": lambda: layers.RandomFlip("horizontal"),
    "rotation": lambda: layers.RandomRotation(0.1),
    "zoom": lambda: layers.RandomZoom(0.1),
    "translation": lambda: layers.RandomTranslation(0.1, 0.1),
    "contrast": lambda: layers.RandomContrast(0.1),
    "brightness": lambda: layers.RandomBrightness(0.1, value_range=(0, 1)),
    "crop": lambda: layers.RandomCrop(4, 4),
    "identity": layers.Identity,
    "noise": lambda: layers.GaussianNoise(0.1),
    "regularization": lambda: layers.ActivityRegularization(0.01),
    "rescaling": lambda: layers.Rescaling(0.5, 1),
}
OPERATIONS = {
    "division": lambda x: x / 3.0,
    "of a number": lambda x: 2.0 / (x * x + 1.0),
    "subtraction": lambda x: 1.0 - x,
    "power": lambda x: x**2,
    "negative": lambda x: -x,
    "absolute": abs,
    "root": lambda x: tf.sqrt(tf.square(x) + 0.5),
    "exponential": lambda x: tf.math.log1p(tf.exp(x)),
    "clipped": lambda x: tf.clip_by_value(x, -0.5, 0.5),
    "of itself": lambda x: x / (tf.abs(x) + 1.0),
    "leaky": lambda x: tf.nn.leaky_relu(x, 0.3),
    "by its names": lambda x: tf.math.maximum(x=x, y=0.5),
    "by one number in a row": lambda x: x * [[[0.5]]],
    "resized": lambda x: tf.image.resize(x, (4, 4)),
}


def between(step):
    i = keras.Input((SIDE, SIDE, 3))
    x = step(layers.Conv2D(WIDTH, 3, padding="same", name="before")(i))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="after")(x))
    return keras.Model(i, layers.Dense(2, activation="softmax")(x))


def as_read(model, folder):
    """What a stage is given of it: a file has lists for a model's constants."""
    keras_files.save(model, folder)
    return keras.models.load_model(folder / keras_files.FILE, compile=False)


def masked(model, channels, kept):
    """The model's answers without what reads the channels that go."""
    for layer in model.layers:
        weights = layer.get_weights()
        for cut in channels.cuts.get(layer.name, ()):
            if cut.role == "reads":
                np.moveaxis(weights[cut.weight], cut.axis, 0)[~kept[cut.channels]] = 0
        layer.set_weights(weights)
    return model


@pytest.mark.parametrize("step", [*AUGMENTATIONS.values(), *OPERATIONS.values()], ids=[*AUGMENTATIONS, *OPERATIONS])
def test_removing_is_masking_through_what_changes_no_channel(step, tmp_path):
    model = as_read(between(step if step in OPERATIONS.values() else step()), tmp_path)
    channels = trace(model)
    kept = channels.everything()
    kept[channels.made["before"][: WIDTH // 2]] = False
    assert channels.blocks[0].tolist() == channels.made["before"].tolist()
    slimmed = surgery.remove(model, channels, kept)
    assert slimmed.get_layer("before").filters == WIDTH - WIDTH // 2
    given = RNG.normal(size=(4, SIDE, SIDE, 3)).astype(np.float32)
    answers = masked(model, channels, kept)(given, training=False)
    np.testing.assert_allclose(slimmed(given, training=False).numpy(), answers.numpy(), atol=1e-5)


def test_constants_by_channel_fix_those_that_they_touch_and_no_more(tmp_path):
    i = keras.Input((SIDE, SIDE, 3))
    x = keras.applications.resnet50.preprocess_input(i)  # x[..., ::-1] - [103.9, 116.8, 123.7]
    x = layers.Conv2D(WIDTH, 3, name="first")(x) * tf.constant(np.arange(1, WIDTH + 1, dtype=np.float32))
    x = layers.Conv2D(WIDTH, 3, name="second")(x)
    made = keras.Model(i, layers.Dense(2)(layers.Flatten()(x)))
    for model in (made, as_read(made, tmp_path)):
        channels = trace(model)
        assert [block.tolist() for block in channels.blocks] == [channels.made["second"].tolist()]
    kept = channels.everything()
    kept[channels.made["second"][:2]] = False
    slimmed = surgery.remove(model, channels, kept)
    given = RNG.uniform(0, 255, (4, SIDE, SIDE, 3)).astype(np.float32)
    expected = masked(model, channels, kept)(given).numpy()
    np.testing.assert_allclose(slimmed(given).numpy(), expected, atol=1e-4 * np.abs(expected).max())


def test_a_constant_that_makes_channels_of_one_is_refused(tmp_path):
    i = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(1, 3)(i) * tf.ones(4)
    model = keras.Model(i, layers.Dense(2)(layers.Flatten()(x)))
    for each in (model, as_read(model, tmp_path)):
        with pytest.raises(ModelError, match="makes channels of one"):
            trace(each)


def augmentation_tutorial():
    """TensorFlow's tutorial "Image classification", smaller: augmentation as a model within the model."""
    augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1)]
    )
    return keras.Sequential([
        keras.Input((16, 16, 3)), augmentation, layers.Rescaling(1 / 255),
        layers.Conv2D(16, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
        layers.Dropout(0.2), layers.Flatten(), layers.Dense(32, activation="relu"),
        layers.Dense(2, activation="softmax", name="outputs"),
    ])  # fmt: skip


def transfer_tutorial():
    """TensorFlow's tutorial "Transfer learning and fine-tuning", smaller: of each kind of block there is one."""
    augmentation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)])
    whole = keras.applications.MobileNetV2((32, 32, 3), include_top=False, weights=None, alpha=0.35)
    base = keras.Model(whole.input, whole.get_layer("block_2_add").output)
    base.trainable = False
    i = keras.Input((32, 32, 3))
    x = base(keras.applications.mobilenet_v2.preprocess_input(augmentation(i)), training=False)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(i, layers.Dense(2, activation="softmax")(x))


@pytest.mark.parametrize("build", [augmentation_tutorial, pytest.param(transfer_tutorial, marks=pytest.mark.slow)])
def test_the_official_tutorials_are_slimmed(build):
    model = build()
    count, side = 16, model.input_shape[1]
    train = Arrays(
        {model.input_names[0]: RNG.uniform(0, 255, (count, side, side, 3)).astype(np.float32)},
        {LABEL: np.arange(count) % 2},
    )
    params = Slim(method="slim", parent="baseline", keep=0.6, score="l1", epochs=1, batch_size=8)
    slimmed, history = slim.apply(model, params, train, train, lambda *_: None)
    assert slimmed.count_params() < 0.9 * model.count_params()
    assert len(history["loss"]) == 1
    assert slimmed(next(iter(train.inputs.values())), training=False).shape == (count, 2)
