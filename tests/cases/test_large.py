"""A network of more weights than ai-edge-quantizer leaves within the flatbuffer, on a microcontroller."""

import numpy as np
import pytest

from tests.cases.drawn import held, quarters

FP32 = {"model": "baseline", "scheme": "float32"}
INT8 = {"model": "baseline", "scheme": "int8"}
OUTSIDE = 256 << 10  # bytes of weights from which on it writes them behind the flatbuffer


@pytest.mark.slow
def test_weights_of_256_kib_reach_a_microcontroller_by_every_way_to_int8(run_case, write_data):
    """tflite-micro #3196: its kernels found no weights in such a file, answered 21 %, and nothing was said."""
    import tf_keras as keras

    layers = keras.layers
    x, label = quarters(side=16, channels=1)
    write_data({"x": x}, label)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(1100, "relu"), layers.Dense(4, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, label, epochs=3, verbose=0)
    model.save("own.keras")
    right = np.mean(model.predict(x[held(240)], verbose=0).argmax(-1) == label[held(240)])
    case = run_case(
        "own.keras",
        devices=("stm32h743",),
        quantize={
            "fp32": FP32,
            "int8": INT8,
            "mse": INT8 | {"ranges": "mse"},
            "drop": INT8 | {"max_quality_drop": 0.02},
        },
    )
    plain = case.measurement("int8", "stm32h743")
    for variant in ("int8", "mse", "drop"):
        measured = case.measurement(variant, "stm32h743")
        assert measured.status == "ok", measured.reason
        assert measured.details["file_bytes"] > OUTSIDE
        assert measured.memory.peak_kib == plain.memory.peak_kib < 16
        assert min(score.value for score in measured.scores) > right - 0.05 > 0.9
