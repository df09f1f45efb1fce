"""StableHLO through jaxlib against Keras itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.bench.runner import pjrt
from tasks.errors import ConversionError
from tasks.quantize import litert, stablehlo
from tasks.records import Tensor
from tasks.training import fit

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
RNG = np.random.default_rng(0)
Arrays = dict[str, np.ndarray]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes, litert.Graph, Arrays], Arrays]:
    """Every example through the runner's own class, in this process."""

    def predict(content: bytes, graph: litert.Graph, arrays: Arrays) -> Arrays:
        monkeypatch.setenv("NPROC", "1")  # which the class sets, so that it is put back
        monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        (tmp_path / "model").write_bytes(content)
        sides = {"inputs": graph.inputs, "outputs": graph.outputs}
        options = {side: [tensor.model_dump() for tensor in tensors] for side, tensors in sides.items()}
        model = pjrt.Model(str(tmp_path / "model"), {"platform": "cpu", "threads": 1, **options})
        rows = []
        for example in model.prepare({name: arrays[name] for name in model.inputs}):
            model.put(example)
            model.invoke()
            rows.append(model.read())
        return model.floats(rows)

    return predict


def graph_of(model: Any) -> litert.Graph:
    """What `litert.inspect` says of the converted model, without the conversion."""
    one = litert.batch_of_one(model)
    sides = (one.input_names, one.inputs), (one.output_names, one.outputs)
    inputs, outputs = (
        tuple(Tensor(name=n, shape=t.shape[1:], dtype=t.dtype.name) for n, t in zip(*side, strict=True))
        for side in sides
    )
    return litert.Graph(inputs, outputs, {})


def cnn() -> Any:
    inputs = keras.Input((12, 12, 1), name="image")
    x = keras.layers.MaxPooling2D(2)(keras.layers.Conv2D(8, 3, activation="relu")(inputs))
    x = keras.layers.Dense(24, activation="relu")(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="scores")(x), name="net")


def seeded(build: Callable[[], Any]) -> Any:
    fit.reset(0)
    return build()


@pytest.mark.parametrize(("scheme", "tolerance", "share"), [("float32", 1e-5, 1.1), ("float16", 2e-3, 0.6)])
def test_a_network_for_images_answers_like_keras(run: Any, scheme: str, tolerance: float, share: float) -> None:
    model, images = seeded(cnn), RNG.random((40, 12, 12, 1), np.float32)
    graph = graph_of(model)
    content = stablehlo.convert(model, scheme, graph)
    ours, keras_s = run(content, graph, {"image": images})["net"], model.predict(images, verbose=0)
    assert ours.dtype == np.float32
    assert np.abs(ours - keras_s).max() < tolerance
    assert (np.abs(ours - keras_s).max() > 1e-5) == (scheme == "float16")  # it computes in halves, not only stores them
    assert len(content) < share * sum(weight.nbytes for weight in model.get_weights()) + 2000


def test_the_same_weights_give_the_same_bytes_however_many_models_came_before() -> None:
    first = seeded(cnn)
    again = cnn()  # whose layers Keras calls by other names
    again.set_weights(first.get_weights())
    assert first.layers[1].name != again.layers[1].name
    for scheme in ("float32", "float16"):
        contents = [stablehlo.convert(model, scheme, graph_of(model)) for model in (first, again)]
        assert contents[0] == contents[1]
    assert b"conv2d" not in contents[0]
    assert str(Path(__file__).parents[2]).encode() not in contents[0]


def several() -> Any:
    a, b = keras.Input((3,), name="zeta"), keras.Input((4,), name="alpha")
    tokens = keras.Input((5,), dtype="int32", name="mid")
    x = keras.layers.Add()([keras.layers.Dense(4)(a), b])
    x = keras.layers.Concatenate()([x, keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 2)(tokens))])
    x = keras.layers.LayerNormalization()(keras.layers.BatchNormalization()(x))
    return keras.Model([a, b, tokens], [keras.layers.Dense(2, name="two")(x), keras.layers.Dense(3, name="three")(x)])


def test_arguments_and_results_come_in_the_card_s_order_with_norms_and_tokens(run: Any) -> None:
    model = seeded(several)
    arrays = {"zeta": RNG.random((6, 3), np.float32), "alpha": RNG.random((6, 4), np.float32)}
    arrays["mid"] = RNG.integers(0, 9, (6, 5)).astype(np.int32)
    expected = {answer.shape[1]: answer for answer in model.predict(arrays, verbose=0)}
    graph = litert.inspect(litert.convert(model, "float32", calibration=None))  # type: ignore[arg-type]
    for order, scheme, tolerance in ((1, "float32", 1e-5), (-1, "float16", 1e-2)):
        turned = litert.Graph(graph.inputs[::order], graph.outputs[::order], {})
        answers = run(stablehlo.convert(model, scheme, turned), turned, arrays)
        assert list(answers) == [tensor.name for tensor in turned.outputs]
        for tensor in turned.outputs:
            assert np.abs(answers[tensor.name] - expected[tensor.shape[0]]).max() < tolerance


def test_attention_is_converted(run: Any) -> None:
    def build() -> Any:
        inputs = keras.Input((6, 8), name="x")
        x = keras.layers.Add()([keras.layers.MultiHeadAttention(2, 4)(inputs, inputs), inputs])
        x = keras.layers.Flatten()(keras.layers.Dense(8, activation="gelu")(x))
        return keras.Model(inputs, keras.layers.Dense(3)(x), name="net")

    model, arrays = seeded(build), {"x": RNG.random((5, 6, 8), np.float32)}
    graph = graph_of(model)
    answers = run(stablehlo.convert(model, "float32", graph), graph, arrays)["net"]
    assert np.abs(answers - model.predict(arrays["x"], verbose=0)).max() < 1e-5


def small(*layers: Any) -> Any:
    fit.reset(0)
    inputs = x = keras.Input((8,), name="x")
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x, name="net")


def test_a_scheme_of_integers_has_none() -> None:
    model = small(keras.layers.Dense(8))
    with pytest.raises(ConversionError, match="scheme int8 has no StableHLO; float32 and float16 have"):
        stablehlo.convert(model, "int8", graph_of(model))


def test_a_weight_that_float16_cannot_hold_is_refused_by_name() -> None:
    model = small(keras.layers.Dense(8, name="wide"))
    model.set_weights([weight + 70_000 for weight in model.get_weights()])
    stablehlo.convert(model, "float32", graph_of(model))
    with pytest.raises(ConversionError, match="wide/kernel:0 is beyond 65504"):
        stablehlo.convert(model, "float16", graph_of(model))


def test_an_operator_that_xla_lacks_is_named_in_one_line() -> None:
    tf = pytest.importorskip("tensorflow")
    model = small(keras.layers.Lambda(lambda x: tf.strings.to_number(tf.strings.as_string(x))))
    with pytest.raises(ConversionError, match=r"no StableHLO: the converter refused: .*AsString") as caught:
        stablehlo.convert(model, "float32", graph_of(model))
    assert "\n" not in str(caught.value)


def test_a_graph_of_another_model_is_refused() -> None:
    model = small(keras.layers.Dense(8))
    graph = graph_of(model)
    other = litert.Graph(graph.inputs, (graph.outputs[0].model_copy(update={"name": "else"}),), {})
    with pytest.raises(ConversionError, match="else"):
        stablehlo.convert(model, "float32", other)
