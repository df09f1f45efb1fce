"""What a model is fitted to: losses against numpy, which output learns what, and what validation is judged by."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from tasks.errors import ModelError
from tasks.examples import Arrays
from tasks.examples.dataset import LABEL, RECONSTRUCTION, TEACHER
from tasks.params import Finetune, Slim, Training
from tasks.quality.heads import find
from tasks.training import fit
from tasks.training.losses import balanced, objective, taught_classes, taught_plain, taught_tokens

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
fit.import_tensorflow()
import tensorflow as tf  # noqa: E402  # without Keras 3, as in the stages

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 40)
LOGITS, THEIRS = RNG.normal(0, 3, (40, 3)), RNG.normal(0, 3, (40, 3))


def packed(answers):
    return tf.constant(np.concatenate([LABELS[:, None], answers], axis=1), tf.float32)


def kullback_leibler(temperature):
    theirs, ours = log_softmax(THEIRS / temperature, axis=1), log_softmax(LOGITS / temperature, axis=1)
    return (np.exp(theirs) * (theirs - ours)).sum(axis=1)


@pytest.mark.parametrize(("weight", "temperature"), [(0.9, 4.0), (0.3, 1.0), (1.0, 8.0)])
def test_the_taught_loss_is_hintons(weight, temperature):
    loss = taught_classes(weight, temperature)(
        packed(softmax(THEIRS, axis=1)), tf.constant(softmax(LOGITS, axis=1), tf.float32)
    )
    plain = -log_softmax(LOGITS, axis=1)[np.arange(40), LABELS]
    expected = weight * temperature**2 * kullback_leibler(temperature) + (1 - weight) * plain
    assert np.allclose(loss, expected, rtol=1e-4, atol=1e-5)


def test_at_a_high_temperature_the_gradient_no_longer_depends_on_it():
    """The reason for T^2: it tends to (z - v - their means) / classes (section 2.1 of the paper)."""
    gradients = {}
    for temperature in (200.0, 400.0):
        with tf.GradientTape() as tape:
            logits = tf.Variable(LOGITS, dtype=tf.float32)
            loss = tf.reduce_sum(taught_classes(1, temperature)(packed(softmax(THEIRS, axis=1)), tf.nn.softmax(logits)))
        gradients[temperature] = tape.gradient(loss, logits).numpy()
    difference = LOGITS - THEIRS
    expected = (difference - difference.mean(axis=1, keepdims=True)) / 3
    assert np.allclose(gradients[200.0], expected, atol=0.05)
    assert np.allclose(gradients[400.0], expected, atol=0.03)


def test_certain_answers_leave_loss_and_gradient_exact():
    with tf.GradientTape() as tape:
        logits = tf.Variable([[60.0, 0.0, -30.0]])
        loss = taught_classes(1, 4.0)(tf.constant([[0, 0.0, 1.0, 0.0]]), tf.nn.softmax(logits))
    # the teacher's 0 counts as 1e-30; the student's probabilities are down to 1e-39, of which 1e-30 is left
    ours, theirs = np.log([1.0, np.exp(-60) + 1e-30, 1e-30]) / 4, np.log([1e-30, 1.0, 1e-30]) / 4
    expected = 16 * (softmax(theirs) * (log_softmax(theirs) - log_softmax(ours))).sum()
    assert loss.numpy() == pytest.approx([expected], rel=1e-4)
    gradient = tape.gradient(loss, logits).numpy()
    assert gradient[0, 0] == pytest.approx(4 * (softmax(ours) - softmax(theirs))[0], rel=1e-3)
    assert np.isfinite(gradient).all()


def test_all_of_the_weight_leaves_the_label_out():
    answers = softmax(THEIRS, axis=1)
    other = tf.constant(np.concatenate([(LABELS[:, None] + 1) % 3, answers], axis=1), tf.float32)
    ours = tf.constant(softmax(LOGITS, axis=1), tf.float32)
    for weight, same in ((1, True), (0.9, False)):
        loss = taught_classes(weight, 4.0)
        assert np.array_equal(loss(packed(answers), ours), loss(other, ours)) is same


@pytest.mark.parametrize(("weight", "temperature"), [(0.9, 4.0), (0.3, 1.0), (1.0, 2.0)])
def test_every_token_is_taught_as_a_class_is(weight, temperature):
    """Of scores, which the softmax of each place makes probabilities: [4, 10, 3] are forty places."""
    label, ours, theirs = (tf.constant(x.reshape(4, 10, -1), tf.float32) for x in (LABELS, LOGITS, THEIRS))
    found = taught_tokens(weight, temperature)(tf.concat([label, theirs], axis=-1), ours)
    plain = -log_softmax(LOGITS, axis=1)[np.arange(40), LABELS]
    expected = weight * temperature**2 * kullback_leibler(temperature) + (1 - weight) * plain
    assert np.allclose(found, expected.reshape(4, 10), rtol=1e-4, atol=1e-5)
    alone = taught_tokens(weight, temperature)(label[..., 0], ours)
    assert np.allclose(alone, plain.reshape(4, 10), rtol=1e-5), "who is judged is judged by the text"


def test_values_are_taught_by_their_mean_squares():
    target, answer, ours = RNG.normal(size=(3, 5, 4, 2))
    both = tf.constant(np.stack([target, answer], axis=1), tf.float32)
    loss = tf.reduce_mean(taught_plain(0.75, "mean_squared_error")(both, tf.constant(ours, tf.float32)))
    assert loss.numpy() == pytest.approx(
        0.75 * np.mean((answer - ours) ** 2) + 0.25 * np.mean((target - ours) ** 2), rel=1e-5
    )


def test_labels_are_taught_by_their_binary_cross_entropies():
    target, answer, ours = RNG.integers(0, 2, (40, 3)), RNG.random((40, 3)), RNG.random((40, 3))
    entropy = [-(p * np.log(ours) + (1 - p) * np.log(1 - ours)).mean() for p in (target, answer)]
    both = tf.constant(np.stack([target, answer], axis=1), tf.float32)
    loss = tf.reduce_mean(taught_plain(0.75, "binary_crossentropy")(both, tf.constant(ours, tf.float32)))
    assert loss.numpy() == pytest.approx(0.75 * entropy[1] + 0.25 * entropy[0], rel=1e-4)


def test_each_label_is_learned_by_itself():
    train = examples()
    train.targets[LABEL] = (train.inputs["x"][:, :3] > train.inputs["x"].mean()).astype(np.int64)
    made = model(keras.layers.Dense(3, activation="sigmoid", name="tags"))
    (head,) = find(made, train.targets)
    assert head.kind == "labels"
    history = fit.fit(made, train, train, taught(), label="test")
    assert history["binary_accuracy"][-1] > 0.9
    plain = made.predict(train.inputs, verbose=0)
    wanted = train.targets[LABEL]
    entropy = -(wanted * np.log(plain) + (1 - wanted) * np.log(1 - plain)).mean()
    assert history["val_loss"][-1] == pytest.approx(entropy, rel=1e-4)


def examples(count=60, seed=0, **targets):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, count)
    x = (rng.normal(size=(count, 4)) + 3 * label[:, None]).astype(np.float32)
    return Arrays({"x": x}, {LABEL: label, **{name: made(x, label) for name, made in targets.items()}})


def model(*heads):
    fit.reset(7)
    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(8, activation="relu", name="hidden")(inputs)  # heads come with names already
    outputs = [layer(hidden) for layer in heads] or [keras.layers.Dense(3, activation="softmax")(hidden)]
    return keras.Model(inputs, outputs)


def flipped(_, label):
    """A teacher that is sure, and wrong about every label."""
    return np.eye(3, dtype=np.float32)[(label + 1) % 3] * 0.97 + 0.01


def taught(**keys):
    return Finetune(method="finetune", parent="baseline", epochs=12, batch_size=16, learning_rate=0.05, **keys)


def test_the_teacher_is_followed_and_validation_is_judged_by_labels_alone():
    made, validation = model(), examples(30, seed=1)
    history = fit.fit(
        made, examples(teacher=flipped), validation, taught(teacher="big", teacher_weight=1.0), label="test"
    )
    probabilities = made.predict(validation.inputs, verbose=0)
    wrong = (validation.targets[LABEL] + 1) % 3
    assert np.mean(probabilities.argmax(axis=1) == wrong) > 0.9
    plain = -np.log(probabilities[np.arange(30), validation.targets[LABEL]])
    assert history["val_loss"][-1] == pytest.approx(plain.mean(), rel=1e-4)
    assert history["val_accuracy"][-1] < 0.1
    assert history["accuracy"][-1] < 0.1  # of the labels, though the teacher is agreed with


def test_without_being_asked_for_a_teacher_nobody_listens():
    untaught = [
        fit.fit(model(), data, examples(30, seed=1), taught(), label="test")
        for data in (examples(teacher=flipped), examples())
    ]
    assert untaught[0] == untaught[1]
    assert untaught[0]["val_accuracy"][-1] > 0.8


@pytest.mark.slow
def test_two_taught_runs_give_the_same_bits_wrapped_for_pruning_too():
    import tensorflow_model_optimization as tfmot

    def weights():
        made = tfmot.sparsity.keras.prune_low_magnitude(model())
        params = taught(teacher="big").model_copy(update={"epochs": 2})
        step = tfmot.sparsity.keras.UpdatePruningStep()
        fit.fit(made, examples(teacher=flipped), examples(), params, label="test", callbacks=[step])
        return made.get_weights()

    assert all(np.array_equal(a, b) for a, b in zip(weights(), weights(), strict=True))


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (np.full((60, 5), 0.2, np.float32), r"answers: \[3\] as the model's expected; received \[5\]"),
        ([np.zeros((60, 3)), np.zeros((60, 1))], r"received 2 outputs"),
        (np.full((60, 3), -1, np.float32), r"probabilities expected; received negative ones: end it in a softmax"),
    ],
)
def test_answers_that_do_not_fit_are_refused(answers, message):
    data = examples()
    data.targets[TEACHER] = answers
    with pytest.raises(ModelError, match=message):
        objective(model(), data, examples(), taught(teacher="big"))


def heads():
    return (
        keras.layers.Dense(3, activation="softmax", name=LABEL),
        keras.layers.Dense(2, name="place"),
        keras.layers.Dense(1, name="spare"),
    )


def place(x, _label):
    return (x[:, :2] / 3 - 1).astype(np.float32)


def test_each_output_learns_the_target_of_its_name_and_the_others_nothing():
    layers = heads()
    made, train = model(*layers), examples(place=place)
    spare = layers[2].get_weights()
    history = fit.fit(made, train, train, taught(), label="test")
    assert history["label_accuracy"][-1] > 0.8
    assert history["place_loss"][-1] < 0.2 * history["place_loss"][0]
    assert history["val_loss"][-1] == pytest.approx(
        history["val_label_loss"][-1] + history["val_place_loss"][-1], rel=1e-4
    )
    assert all(np.array_equal(a, b) for a, b in zip(spare, layers[2].get_weights(), strict=True))


def test_outputs_without_targets_and_taught_ones_of_several_are_refused():
    _, *rest = heads()
    with pytest.raises(
        ModelError, match="no output has a target of its name: the outputs are place, spare, the targets label"
    ):
        fit.fit(model(*rest), examples(), examples(), Training(epochs=1), label="test")
    with pytest.raises(ModelError, match="a teacher teaches one output; the model has label, place"):
        objective(model(*heads()), examples(teacher=flipped), examples(), taught(teacher="big"))


def test_a_reconstruction_is_judged_on_what_is_normal():
    def normal_only(data):
        data.targets[RECONSTRUCTION] = data.inputs["x"]
        data.targets[LABEL] = (data.targets[LABEL] == 2).astype(np.int64)
        return data

    made = model(keras.layers.Dense(4, name=RECONSTRUCTION))
    validation = normal_only(examples(30, seed=1))
    history = fit.fit(made, normal_only(examples()), validation, taught(), label="test")
    errors = ((made.predict(validation.inputs, verbose=0) - validation.inputs["x"]) ** 2).mean(axis=1)
    assert history["val_loss"][-1] == pytest.approx(errors[validation.targets[LABEL] == 0].mean(), rel=1e-4)
    assert set(history) == {"loss", "val_loss"}


def anomalies(count=60, seed=0, shape=(4,)):
    """Reconstructions as `dataset.load` gives them: the input is a target, class 1 what is not normal."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, *shape)).astype(np.float32)
    return Arrays({"x": x}, {LABEL: np.zeros(count, np.int64), RECONSTRUCTION: x})


@pytest.mark.parametrize("name", [None, LABEL, "class"])
def test_an_autoencoder_learns_its_input_whatever_its_output_is_called(name):
    made, train = model(keras.layers.Dense(4, name=name)), anomalies()
    history = fit.fit(made, train, train, taught(), label="test")
    assert set(history) == {"loss", "val_loss"}
    squares = (made.predict(train.inputs, verbose=0) - train.inputs["x"]) ** 2
    assert history["val_loss"][-1] == pytest.approx(squares.mean(), rel=1e-4)
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.slow
def test_an_output_that_a_wrapper_renames_learns_what_it_learned_before():
    """As quantization-aware training does to every layer: two heads, in the order of the outputs."""
    made, train = model(*heads()), examples(place=place)
    known = find(made, train.targets)
    renamed = keras.models.clone_model(
        made, clone_function=lambda layer: type(layer).from_config(layer.get_config() | {"name": f"quant_{layer.name}"})
    )
    renamed.set_weights(made.get_weights())
    renamed = keras.Model(made.inputs, renamed(made.inputs[0]))
    renamed.output_names = [f"quant_{name}" for name in made.output_names]
    histories = [fit.fit(m, train, train, taught(), label="test", heads=known) for m in (made, renamed)]
    assert histories[1]["val_loss"] == pytest.approx(histories[0]["val_loss"], rel=1e-5)


def test_the_only_output_is_judged_by_the_class_though_another_target_has_its_name():
    made = model(keras.layers.Dense(3, activation="softmax", name="place"))
    assert [head.target for head in find(made, examples(place=place).targets)] == [LABEL]


def scalar(x, _label):
    return x[:, 0]


def test_a_value_of_one_number_is_not_spread_over_the_batch():
    made, train = model(keras.layers.Dense(3, name=LABEL), keras.layers.Dense(1, name="depth")), examples(depth=scalar)
    aim = objective(made, train, train, taught())
    assert aim.train["depth"].shape == aim.validation["depth"].shape == (60, 1)
    np.testing.assert_array_equal(aim.train["depth"][:, 0], train.targets["depth"])


@pytest.mark.parametrize(
    ("units", "data", "message"),
    [
        (2, lambda: examples(), r"output 'dense_1' gives \[2\]; the target 'label' asks for .* 3 classes, \[3\]"),
        (3, lambda: anomalies(), r"gives \[3\]; the target 'reconstruction' is \[4\]: they must be of one shape"),
    ],
)
def test_an_output_of_another_shape_than_its_target_is_refused(units, data, message):
    with pytest.raises(ModelError, match=message):
        objective(model(keras.layers.Dense(units, name="dense_1")), data(), data(), taught())


def test_no_epochs_leave_the_model_alone():
    made = model()
    before = made.get_weights()
    none = Slim(method="slim", parent="baseline", keep=0.5, epochs=0)
    assert fit.fit(made, examples(), examples(), none, label="test") == {}
    assert made.optimizer is None
    assert all(np.array_equal(a, b) for a, b in zip(before, made.get_weights(), strict=True))


def test_balanced_classes_count_alike_in_sum_as_in_scikit_learn():
    from sklearn.utils.class_weight import compute_sample_weight

    labels = np.repeat([0, 1, 3], [30, 8, 2])
    given = softmax(LOGITS[:, [0, 1, 2, 2]], axis=1).astype(np.float32)
    found = balanced(labels, 4)(tf.constant(labels[:, None]), tf.constant(given)).numpy()
    plain = -np.log(given[np.arange(40), labels])
    np.testing.assert_allclose(found, compute_sample_weight("balanced", labels) * plain, rtol=1e-5, atol=1e-6)


def test_a_rare_class_is_found_where_it_weighs_as_much():
    rng = np.random.default_rng(0)
    label = (np.arange(400) % 20 == 0).astype(np.int64)
    examples = Arrays({"x": (rng.normal(size=(400, 1)) + label[:, None]).astype(np.float32)}, {LABEL: label})
    found = {}
    for weights in ("none", "balanced"):
        fit.reset(0)
        x = keras.Input((1,), name="x")
        model = keras.Model(x, keras.layers.Dense(2, activation="softmax", name="probabilities")(x))
        training = Training(epochs=40, batch_size=50, learning_rate=0.05, class_weights=weights)
        fit.fit(model, examples, examples, training, label="train")
        found[weights] = int(model.predict(examples.inputs["x"], verbose=0).argmax(axis=1)[label == 1].sum())
    assert found["none"] <= 2
    assert found["balanced"] >= 10


def test_class_weights_beside_a_teacher_are_refused():
    with pytest.raises(ValueError, match="class_weights are of the labels alone"):
        Finetune(method="finetune", parent="a", teacher="b", epochs=1, class_weights="balanced")


@pytest.mark.parametrize(
    ("target", "told"),
    [(np.eye(3, dtype=np.int64)[LABELS], "label is labels"), (LOGITS.astype(np.float32), "label is values")],
)
def test_class_weights_without_classes_are_refused(target, told):
    x = keras.Input((2,), name="x")
    model = keras.Model(x, keras.layers.Dense(3, activation="sigmoid", name="probabilities")(x))
    examples = Arrays({"x": np.zeros((40, 2), np.float32)}, {LABEL: target})
    with pytest.raises(ModelError, match=f"class_weights: they are of classes, .*; {told}: leave them out"):
        objective(model, examples, examples, Training(epochs=1, class_weights="balanced"))
    assert objective(model, examples, examples, Training(epochs=1)).losses
