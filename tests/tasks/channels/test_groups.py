"""Dependency groups: what must go together, what must stay, and what cannot be followed."""

import numpy as np
import pytest

from tasks.channels.tracing import trace
from tasks.errors import ModelError
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
layers = keras.layers


@pytest.fixture(autouse=True)
def _fresh():
    fit.reset(0)


def groups(model):
    """The channels that each layer makes, as lists of group numbers."""
    channels = trace(model)
    return {name: made.tolist() for name, made in channels.made.items()}, channels


def test_what_is_added_goes_together():
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="stem")(x)
    inner = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="inner")(x)))
    x = layers.Add()([x, layers.Conv2D(6, 1, name="outer")(inner)])
    outputs = layers.Dense(2, name="head")(layers.GlobalAveragePooling2D()(x))
    made, channels = groups(keras.Model(inputs, outputs))
    assert made["stem"] == made["outer"]
    assert len({*made["stem"], *made["inner"], *made["head"]}) == 6 + 4 + 2
    assert [block.tolist() for block in channels.blocks] == [made["stem"], made["inner"]]
    assert set(channels.fixed) == {*range(3), *made["head"]}


def test_each_part_of_a_concatenation_is_its_own():
    inputs = keras.Input((4, 4, 2))
    left, right = (layers.Conv2D(n, 1, name=name)(inputs) for n, name in ((3, "left"), (2, "right")))
    x = layers.Concatenate()([left, inputs, right])
    x = layers.Add()([x, layers.Conv2D(7, 1, name="third")(inputs)])
    outputs = layers.Dense(2)(layers.Flatten()(layers.Conv2D(3, 1, name="last")(x)))
    made, channels = groups(keras.Model(inputs, outputs))
    assert made["third"] == made["left"] + [0, 1] + made["right"]  # the input's stay, and so do theirs
    assert set(made["third"][3:5]) <= set(channels.fixed)
    assert [block.tolist() for block in channels.blocks] == [made["left"], made["right"], made["last"]]


def test_depthwise_channels_follow_and_flattened_ones_repeat():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Conv2D(3, 1, name="first"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            layers.Flatten(),
            layers.Dense(2, name="head"),
        ]
    )
    made, channels = groups(model)
    a, b, c = made["first"]
    (reads,) = [cut for cut in channels.cuts["head"] if cut.role == "reads"]
    assert reads.channels.tolist() == [a, a, b, b, c, c] * 4
    assert "depthwise" not in made


def test_heads_are_groups_and_an_attention_of_dense_layers_pairs_queries_with_keys():
    x = inputs = keras.Input((5, 6))
    x = layers.Dense(8, name="width")(x)
    x = layers.Add()([x, layers.MultiHeadAttention(4, 3, name="heads")(x, x)])
    query, key, value = (layers.Dense(n, name=name)(x) for n, name in ((4, "query"), (4, "key"), (3, "value")))
    outputs = layers.Dense(2, name="head")(layers.Attention()([query, value, key]))
    made, _ = groups(keras.Model(inputs, outputs))
    assert len(made["heads"]) == 4
    assert made["query"] == made["key"]
    assert not set(made["value"]) & set(made["query"])
    assert len({group for ids in made.values() for group in ids}) == 8 + 4 + 4 + 3 + 2


def test_heads_made_by_reshaping_lose_the_same_channels():
    x = inputs = keras.Input((5, 6))
    x = layers.Reshape((5, 2, 4))(layers.Dense(8, name="wide")(x))
    outputs = layers.Dense(2)(layers.Flatten()(layers.Dense(3)(x)))
    made, channels = groups(keras.Model(inputs, outputs))
    assert made["wide"][:4] == made["wide"][4:]
    assert len(set(made["wide"])) == 4
    assert channels.resizes["reshape"][0].lead == (5, 2)


def test_a_layer_used_twice_ties_what_it_reads():
    first, second = keras.Input((4,)), keras.Input((4,))
    a, b = layers.Dense(3, name="a")(first), layers.Dense(3, name="b")(second)
    shared = layers.Dense(5, name="shared")
    outputs = layers.Dense(2)(layers.Concatenate()([shared(a), shared(b)]))
    made, channels = groups(keras.Model([first, second], outputs))
    assert made["a"] == made["b"]
    assert len(made["shared"]) == 5
    assert sorted(len(block) for block in channels.blocks) == [3, 5]


@pytest.mark.parametrize("what", ["norm", "softmax", "output"])
def test_what_needs_all_channels_fixes_them(what):
    inputs = keras.Input((5, 6))
    x = layers.Dense(4, activation="softmax" if what == "softmax" else "relu", name="middle")(inputs)
    outputs = layers.Dense(2, name="end")(layers.LayerNormalization(name="norm")(x) if what == "norm" else x)
    made, channels = groups(keras.Model(inputs, [outputs, x] if what == "output" else outputs))
    assert set(made["middle"]) <= set(channels.fixed)
    assert what in channels.fixed[made["middle"][0]] or what == "softmax"


class Scale(layers.Layer):
    """A layer of a user's: one factor a channel."""

    channel_rule = "pass"

    def build(self, shape):
        self.factor = self.add_weight("factor", (shape[-1],), initializer="ones")

    def call(self, inputs):
        return inputs * self.factor


class Mix(Scale):
    channel_rule = "fix"

    def call(self, inputs):
        return inputs[..., ::-1] * self.factor


class Plain(Scale):
    channel_rule = None


def test_a_layer_of_ones_own_says_what_it_does():
    x = inputs = keras.Input((4,))
    x = Scale(name="scale")(layers.Dense(3, name="passed")(x))
    x = Mix(name="mix")(layers.Dense(5, name="mixed")(x))
    made, channels = groups(keras.Model(inputs, layers.Dense(2)(x)))
    assert [cut.channels.tolist() for cut in channels.cuts["scale"]] == [made["passed"]]
    assert set(made["mixed"]) <= set(channels.fixed)
    assert not set(made["passed"]) & set(channels.fixed)


REFUSED = {
    "an unknown layer": (lambda x: layers.Bidirectional(layers.LSTM(3), name="culprit")(x), "Bidirectional"),
    "a state that is given": (
        lambda x: layers.LSTM(6, name="culprit")(x, initial_state=[x[:, 0], x[:, 1]]),
        "LSTM.*given its first state",
    ),
    "a function": (lambda x: layers.Lambda(lambda y: y, name="culprit")(x), "Lambda"),
    "groups": (lambda x: layers.Conv1D(6, 1, groups=2, name="culprit")(x), "Conv1D.*groups"),
    "a model": (lambda x: keras.Sequential([layers.Dense(3)], name="culprit")(x), "Sequential.*inside"),
    "an undeclared layer": (lambda x: Plain(name="culprit")(x), "Plain.*channel_rule"),
    "another axis": (lambda x: layers.BatchNormalization(axis=1, name="culprit")(x), "axis"),
    "two outputs": (
        lambda x: layers.MultiHeadAttention(1, 2, name="culprit")(x, x, return_attention_scores=True)[0],
        "2 tensors",
    ),
    "channels first": (
        lambda x: layers.MaxPooling1D(2, data_format="channels_first", name="culprit")(x),
        "channels_last",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_followed_is_refused_by_name(case):
    make, says = REFUSED[case]
    inputs = keras.Input((4, 6))
    outputs = layers.Dense(2)(make(layers.Dense(6)(inputs)))
    with pytest.raises(ModelError, match=f"'culprit'.*{says}"):
        trace(keras.Model(inputs, outputs))


def test_a_model_without_a_graph_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ModelError, match="no Sequential or Functional"):
        trace(Own(name="own"))


def test_sums_written_as_such_are_followed():
    import tensorflow as tf

    inputs = keras.Input((4,))
    x = layers.Dense(6, name="one")(inputs)
    outputs = layers.Dense(2)(x + layers.Dense(6, name="two")(x) * 0.5)
    made, _ = groups(keras.Model(inputs, outputs))
    assert made["one"] == made["two"]
    refused = keras.Model(inputs, layers.Dense(2)(tf.reshape(x, (-1, 3))))
    with pytest.raises(ModelError, match=r"TFOpLambda.*reshape"):
        trace(refused)


def test_groups_are_numbered_the_same_every_time(architectures):
    def numbers():
        fit.reset(0)
        step = ("inverted", 2)
        model = architectures.build(architectures.Architecture((architectures.Branch("image", 3, (step, step)),)))
        channels = trace(model)
        return [ids.tolist() for ids in channels.made.values()], [block.tolist() for block in channels.blocks]

    assert numbers() == numbers()
    assert np.all(np.diff(numbers()[1][0]) > 0)
