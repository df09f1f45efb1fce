"""Random small Keras models for property tests, and examples that fit them.

`models()` draws an `Architecture`, a plain description that hypothesis can shrink and print; `build` makes the tf_keras
model of it, `examples` the data. The fixture `architectures` of tests/conftest.py is this module:

    @given(data=st.data())
    def test_something(architectures, data):
        model = architectures.build(data.draw(architectures.models()))
        train = architectures.examples(model, 32)

Inputs are images [8, 8, channels], sequences of features [6, features] or flat vectors; each goes through its own
steps to a vector, these are joined, go through dense layers, and each output is a softmax. The weights are random too,
batch normalization's statistics among them, so that a mistake with any of them shows in the outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tasks.examples import Arrays, Examples
from tasks.examples.dataset import LABEL

if TYPE_CHECKING:
    import tf_keras

Step = tuple[Any, ...]  # a kind, then its numbers
SIDE = 8  # of an image
LENGTH = 6  # of a sequence
DIMENSIONS = {"image": 2, "sequence": 1, "flat": 0}


@dataclass(frozen=True)
class Branch:
    """What one input goes through until it is a vector."""

    kind: str  # image, sequence or flat
    channels: int
    steps: tuple[Step, ...] = ()
    head: str = "flatten"  # flatten, average or max; flat inputs have none

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input, without the batch axis."""
        return {"image": (SIDE, SIDE), "sequence": (LENGTH,), "flat": ()}[self.kind] + (self.channels,)


@dataclass(frozen=True)
class Architecture:
    """A whole model."""

    branches: tuple[Branch, ...]  # one an input
    trunk: tuple[Step, ...] = ()  # flat steps behind the join
    classes: tuple[int, ...] = (3,)  # one an output
    sequential: bool = False  # needs one input, one output, and no step of BLOCKS


def _widths() -> st.SearchStrategy[int]:
    return st.integers(2, 12)


def _common() -> list[st.SearchStrategy[Step]]:
    return [st.just(("norm",)), st.just(("relu",)), st.just(("dropout",))]


def _chain(kind: str, recurrent: bool = False) -> list[st.SearchStrategy[Step]]:
    """Steps of one layer each, which a Sequential model may have."""
    dense = st.tuples(st.just("dense"), _widths(), st.sampled_from([None, "relu", "tanh"]))
    if kind == "flat":
        return [dense, *_common()]
    activation, size = st.sampled_from([None, "relu"]), st.sampled_from([1, 3])
    convolution = st.tuples(st.just("conv"), _widths(), size, st.sampled_from([1, 2]), activation)
    spatial = [convolution, st.tuples(st.just("pool"), st.sampled_from(["max", "average"])), st.just(("pad",))]
    if kind == "sequence":
        both = [st.tuples(st.just("both"), st.integers(2, 6))] if recurrent else []
        return [*spatial, dense, *_common(), *both]
    depthwise = st.tuples(st.just("depthwise"), st.integers(1, 2))
    return [*spatial, depthwise, st.tuples(st.just("separable"), _widths()), *_common()]


def _blocks(kind: str) -> list[st.SearchStrategy[Step]]:
    """Steps of several layers, for a Functional model."""
    shared = [
        st.tuples(st.just("residual"), _widths(), st.booleans()),  # width inside, normalization
        st.tuples(st.just("project"), _widths()),  # a residual whose shortcut has a layer
        st.tuples(st.just("concat"), _widths(), _widths()),
        st.just(("gate",)),
    ]
    attention = [
        st.tuples(st.just("attention"), st.integers(1, 4), st.integers(1, 3)),  # heads, size of each
        st.tuples(st.just("attend"), _widths()),  # built of Dense and Attention
        st.just(("layernorm",)),
    ]
    inverted = [st.tuples(st.just("inverted"), st.integers(1, 3))]  # MobileNetV2's, with its expansion
    return shared + {"image": inverted, "sequence": attention, "flat": []}[kind]


@st.composite
def branches(
    draw: st.DrawFn, *, kinds: tuple[str, ...] = tuple(DIMENSIONS), blocks: bool = True, recurrent: bool = False
) -> Branch:
    """One input and its steps; without `blocks`, only such as a Sequential model may have."""
    kind = draw(st.sampled_from(kinds))
    step = st.one_of(_chain(kind, recurrent) + (_blocks(kind) if blocks else []))
    steps = draw(st.lists(step, min_size=1, max_size=4))
    head = draw(st.sampled_from(["flatten", "average", "max"]))
    return Branch(kind, draw(st.integers(1, 4)), tuple(steps), head)


@st.composite
def models(
    draw: st.DrawFn,
    *,
    inputs: int = 2,
    outputs: int = 2,
    kinds: tuple[str, ...] = ("image", "sequence", "flat"),
    recurrent: bool = False,
) -> Architecture:
    """A random architecture of at most so many inputs (each of one of `kinds`) and outputs.

    A third of them are Sequential. With `recurrent` sequences may be read both ways, which slim refuses.
    """
    trunk = st.lists(st.one_of(_chain("flat")), max_size=2).map(tuple)
    if draw(st.integers(0, 2)) == 0:
        branch = draw(branches(kinds=kinds, blocks=False, recurrent=recurrent))
        return Architecture((branch,), draw(trunk), (draw(st.integers(2, 5)),), True)
    found = draw(st.lists(branches(kinds=kinds, recurrent=recurrent), min_size=1, max_size=inputs))
    classes = draw(st.lists(st.integers(2, 5), min_size=1, max_size=outputs))
    return Architecture(tuple(found), draw(trunk), tuple(classes))


def build(architecture: Architecture, seed: int = 0) -> "tf_keras.Model":
    """The model, with random weights.

    Inputs are called `input0` …, float32; outputs `output0` …, probabilities [batch, classes]. Layers have their names
    from the steps, so the same architecture gives the same names.
    """
    import tf_keras as keras

    make = _Builder()
    if architecture.sequential:
        (branch,), (classes,) = architecture.branches, architecture.classes
        steps = [*(make.layer(step, DIMENSIONS[branch.kind]) for step in branch.steps), *make.head(branch)]
        steps += [make.layer(step, 0) for step in architecture.trunk]
        output = keras.layers.Dense(classes, activation="softmax", name="output0")
        model = keras.Sequential([keras.Input(branch.shape, name="input0"), *steps, output], name="random")
    else:
        inputs = [keras.Input(branch.shape, name=f"input{i}") for i, branch in enumerate(architecture.branches)]
        ends = [make.branch(branch, x) for branch, x in zip(architecture.branches, inputs, strict=True)]
        x = make.new("Concatenate")(ends) if len(ends) > 1 else ends[0]
        for step in architecture.trunk:
            x = make.layer(step, 0)(x)
        outputs = [
            keras.layers.Dense(classes, activation="softmax", name=f"output{i}")(x)
            for i, classes in enumerate(architecture.classes)
        ]
        model = keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0], name="random")
    randomize(model, seed)
    return model


def randomize(model: "tf_keras.Model", seed: int = 0) -> None:
    """Random weights for every layer: kernels that keep the scale, statistics that are not those of a new layer."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        name, shape = variable.name, tuple(variable.shape)
        if "variance" in name or "gamma" in name:
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) > 1:
            value = rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape)
        else:
            value = rng.normal(0, 0.2, shape)
        variable.assign(value.astype(np.float32))


def examples(model: "tf_keras.Model", count: int, seed: int = 0) -> Examples:
    """Random examples for a model: its inputs by name, and class numbers.

    The target of the only output is called "label"; those of several are called as their outputs.
    """
    rng = np.random.default_rng(seed)
    inputs = {
        name: rng.normal(size=(count, *tensor.shape[1:])).astype(np.float32)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }
    names = model.output_names if len(model.output_names) > 1 else [LABEL]
    targets = {
        name: rng.integers(0, tensor.shape[-1], count) for name, tensor in zip(names, model.outputs, strict=True)
    }
    return Arrays(inputs, targets)


class _Builder:
    """Makes layers with names of their own, and blocks of them."""

    def __init__(self) -> None:
        self.count = 0

    def new(self, kind: str, *args: Any, **options: Any) -> Any:
        """A layer of a class of tf_keras."""
        import tf_keras as keras

        self.count += 1
        return getattr(keras.layers, kind)(*args, name=f"{kind.lower()}{self.count}", **options)

    def inner(self, kind: str, *args: Any, **options: Any) -> Any:
        """A layer for a wrapper, by whose name it goes."""
        import tf_keras as keras

        return getattr(keras.layers, kind)(*args, name="inner", **options)

    def branch(self, branch: Branch, x: Any) -> Any:
        """All steps of an input, and its head."""
        for step in branch.steps:
            x = self.step(step, x, DIMENSIONS[branch.kind])
        for layer in self.head(branch):
            x = layer(x)
        return x

    def head(self, branch: Branch) -> list[Any]:
        """What makes a vector of it."""
        dimensions = DIMENSIONS[branch.kind]
        if not dimensions:
            return []
        if branch.head == "flatten":
            return [self.new("Flatten")]
        return [self.new(f"Global{branch.head.title()}Pooling{dimensions}D")]

    def step(self, step: Step, x: Any, dimensions: int) -> Any:
        """One step, a layer or a block."""
        kind, *numbers = step
        if kind in BLOCKS:
            return BLOCKS[kind](self, x, dimensions, *numbers)
        return self.layer(step, dimensions)(x)

    def layer(self, step: Step, dimensions: int) -> Any:
        """The layer of a step of one layer."""
        match step:
            case ("conv", filters, size, stride, activation):
                options = {"strides": stride, "padding": "same", "activation": activation}
                return self.new(f"Conv{dimensions}D", filters, size, **options)
            case ("separable", filters):
                return self.new("SeparableConv2D", filters, 3, padding="same")
            case ("depthwise", multiplier):
                return self.new("DepthwiseConv2D", 3, padding="same", depth_multiplier=multiplier)
            case ("dense", units, activation):
                return self.new("Dense", units, activation=activation)
            case ("both", units):
                return self.new("Bidirectional", self.inner("SimpleRNN", units, return_sequences=True))
            case (("norm" | "relu") as kind,):
                return self.new({"norm": "BatchNormalization", "relu": "ReLU"}[kind])
            case ("dropout",):
                return self.new("Dropout", 0.2)
            case ("pool", how):
                return self.new(f"{how.title()}Pooling{dimensions}D", 2, padding="same")
            case ("pad",):
                return self.new(f"ZeroPadding{dimensions}D", 1)
        raise ValueError(step)

    def mix(self, x: Any, width: int, dimensions: int, **options: Any) -> Any:
        """A layer that reads every channel and writes `width`."""
        if not dimensions:
            return self.new("Dense", width, **options)(x)
        return self.new(f"Conv{dimensions}D", width, 3, padding="same", **options)(x)

    def residual(self, x: Any, dimensions: int, width: int, norm: bool) -> Any:
        inner = self.mix(x, width, dimensions)
        if norm:
            inner = self.new("BatchNormalization")(inner)
        inner = self.mix(self.new("ReLU")(inner), x.shape[-1], dimensions)
        return self.new("ReLU")(self.new("Add")([x, inner]))

    def project(self, x: Any, dimensions: int, width: int) -> Any:
        inner = self.new("BatchNormalization")(self.mix(x, width, dimensions))
        return self.new("ReLU")(self.new("Add")([inner, self.new("Dense", width)(x)]))

    def concat(self, x: Any, dimensions: int, left: int, right: int) -> Any:
        parts = [self.mix(x, left, dimensions, activation="relu"), x, self.mix(x, right, dimensions)]
        return self.new("Concatenate")(parts)

    def gate(self, x: Any, dimensions: int) -> Any:
        scale = x if not dimensions else self.new(f"GlobalAveragePooling{dimensions}D", keepdims=True)(x)
        return self.new("Multiply")([x, self.new("Dense", x.shape[-1], activation="sigmoid")(scale)])

    def inverted(self, x: Any, _dimensions: int, expansion: int) -> Any:
        width = x.shape[-1]
        inner = self.new("Conv2D", expansion * width, 1, use_bias=False)(x)
        inner = self.new("ReLU", 6.0)(self.new("BatchNormalization")(inner))
        inner = self.new("DepthwiseConv2D", 3, padding="same", use_bias=False)(inner)
        inner = self.new("ReLU", 6.0)(self.new("BatchNormalization")(inner))
        inner = self.new("BatchNormalization")(self.new("Conv2D", width, 1, use_bias=False)(inner))
        return self.new("Add")([x, inner])

    def attention(self, x: Any, _dimensions: int, heads: int, size: int) -> Any:
        return self.new("Add")([x, self.new("MultiHeadAttention", heads, size)(x, x)])

    def attend(self, x: Any, _dimensions: int, width: int) -> Any:
        query, key, value = (self.new("Dense", width)(x) for _ in range(3))
        mixed = self.new("Attention")([query, value, key])
        return self.new("Add")([x, self.new("Dense", x.shape[-1])(mixed)])

    def layernorm(self, x: Any, _dimensions: int) -> Any:
        return self.new("LayerNormalization")(x)


BLOCKS: dict[str, Callable[..., Any]] = {
    name: getattr(_Builder, name)
    for name in ("residual", "project", "concat", "gate", "inverted", "attention", "attend", "layernorm")
}
