"""The image classifier of MLPerf Tiny, rebuilt in the form of its file: bytes as they are, averages, an optimizer."""

import numpy as np
import pytest

from tests.cases.drawn import held, quarters

COUNT = 160
DEVICE = "ethos-u55-128"
ANCHOR_MS = 0.4035  # the same compiler of the file that MLPerf Tiny publishes, int8


def resnet8(keras):
    """Banbury et al., "MLPerf Tiny Benchmark" (2021), image classification: three stacks of one block, for CIFAR-10."""
    layers = keras.layers
    given = keras.Input((32, 32, 3))

    def convolution(x, filters, size, strides=1):
        decay = keras.regularizers.l2(1e-4)
        return layers.Conv2D(filters, size, strides, "same", kernel_initializer="he_normal", kernel_regularizer=decay)(
            x
        )

    x = layers.Activation("relu")(layers.BatchNormalization()(convolution(given, 16, 3)))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.Activation("relu")(layers.BatchNormalization()(convolution(x, filters, 3, strides)))
        y = layers.BatchNormalization()(convolution(y, filters, 3))
        x = x if strides == 1 else convolution(x, filters, 1, strides)
        x = layers.Activation("relu")(layers.add([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(given, layers.Dense(10, activation="softmax", kernel_initializer="he_normal")(x))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_resnet8_is_what_keras_answers_trains_aware_and_takes_its_time(run_case, write_data):
    import tf_keras as keras

    x, label = quarters(COUNT, 32)
    x = np.round(np.minimum(x, 1) * 255).astype(np.uint8)
    label[held(COUNT) & (np.arange(COUNT) > 150)] = 9  # ten classes, of which most have no example
    write_data({"image": x}, label, classes=[str(number) for number in range(10)])
    keras.utils.set_random_seed(0)
    model = resnet8(keras)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.8  # so that the averages follow so short a training
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    model.fit(x, label, epochs=6, batch_size=16, verbose=0)
    model.save("own.h5")
    right = np.mean(model.predict(x[held(COUNT)], verbose=0).argmax(-1) == label[held(COUNT)])
    case = run_case(
        "own.h5",
        devices=(DEVICE,),
        prepare={
            "source": "npz", "path": "data", "validation": 0.2, "calibration": 50, "seed": 0, "normalize": "none",
        },
        quantize={
            "fp32": {"model": "baseline", "scheme": "float32"},
            "int8": {"model": "baseline", "scheme": "int8"},
            "aware": {"model": "baseline", "scheme": "int8", "aware_epochs": 1, "batch_size": 16},
        },
    )  # fmt: skip
    assert case.quality("fp32") == right > 0.8
    for variant in ("int8", "aware"):
        assert case.quality(variant) > right - 0.1
        measured = case.measurement(variant, DEVICE)
        assert measured.status == "ok", measured.reason
        assert measured.latency.ms_p50 == pytest.approx(ANCHOR_MS, rel=0.03)
