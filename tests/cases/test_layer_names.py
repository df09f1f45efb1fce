"""Names with slashes, as keras-cv, TF-slim and tf_keras' MobileNetV3 give them, reach the right layers."""

import numpy as np
import pytest


@pytest.mark.slow
def test_layers_with_slashes_are_excluded_and_given_bits_by_their_names(run_case, write_data):
    import tf_keras as keras

    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, 200)
    images = rng.uniform(0, 0.4, (200, 12, 12, 3)).astype(np.float32)
    for image, number in zip(images, label, strict=True):
        row, column = divmod(int(number), 2)
        image[row * 6 : row * 6 + 6, column * 6 : column * 6 + 6] += 0.5
    write_data({"image": images}, label)
    keras.utils.set_random_seed(0)
    given = keras.Input((12, 12, 3), name="image")
    x = keras.layers.Conv2D(8, 3, activation="relu", name="block1/conv")(given)
    x = keras.layers.Conv2D(8, 3, activation="relu", name="block1/conv.2")(x)
    x = keras.layers.Dense(16, activation="relu", name="fc/1")(keras.layers.Flatten()(x))
    model = keras.Model(given, keras.layers.Dense(4, activation="softmax", name="predictions")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, label, epochs=4, verbose=0)
    model.save("own.keras")
    case = run_case(
        "own.keras",
        quantize={
            "fp32": {"model": "baseline", "scheme": "float32"},
            "without": {"model": "baseline", "scheme": "int8", "exclude": ["block1/conv"]},
            "four": {"model": "baseline", "scheme": "int8-weights", "bits": {"fc/1": 4}},
            "found": {"model": "baseline", "scheme": "int8", "max_quality_drop": 0.0},
        },
        until="quantize",
    )
    assert case.card("artifacts", "without")["excluded"] == ["block1/conv"]
    listed = {each["layer"] for each in case.card("artifacts", "found")["sensitivity"]}
    assert {"block1/conv", "block1/conv.2", "fc/1", "predictions"} <= listed
