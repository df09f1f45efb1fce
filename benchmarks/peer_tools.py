"""What peers.py measures: the files that other compressors make of a Keras model, as their own documents have it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tasks.examples import Arrays
from tasks.examples.dataset import LABEL

Maker = Callable[[Any, Path, Arrays, Arrays, Path], None]
AI_EDGE = (
    "dynamic_wi8_afp32",
    "dynamic_wi4_afp32",
    "weight_only_wi8_afp32",
    "weight_only_wi4_afp32",
    "static_wi8_ai8",
    "static_wi8_ai16",
)
BATCH, TUTORIAL_RATE = 32, 1e-5  # Keras's default, and the rate of TFMOT's tutorials of combined methods


def ai_edge(name: str) -> Maker:
    """A recipe of ai-edge-quantizer as it comes, on the float32 LiteRT file."""

    def make(_model: Any, float32: Path, _train: Arrays, calibration: Arrays, file: Path) -> None:
        from ai_edge_quantizer import quantizer, recipe

        tool = quantizer.Quantizer(str(float32), getattr(recipe, name)())
        ranges = None
        if tool.need_calibration:
            ranges = tool.calibrate({None: list(_one_by_one(calibration))})
        file.write_bytes(bytes(tool.quantize(ranges).quantized_model))

    return make


def nncf_int8(_model: Any, float32: Path, _train: Arrays, calibration: Arrays, file: Path) -> None:
    """NNCF's post-training quantization of OpenVINO's model, with its defaults: an `.xml` and a `.bin` beside it."""
    import nncf
    import openvino

    network = openvino.Core().read_model(str(float32))
    examples = [next(iter(example.values())) for example in _one_by_one(calibration)]
    quantized = nncf.quantize(network, nncf.Dataset(examples))
    openvino.save_model(quantized, str(file), compress_to_fp16=False)


def tfmot_pruned(model: Any, _float32: Path, train: Arrays, _calibration: Arrays, file: Path) -> None:
    """Pruning as TFMOT's guide has it: 50 to 80 % over two epochs, then float32."""
    file.write_bytes(_converted(_pruned_by_the_guide(model, train)))


def tfmot_pruned_dynamic(model: Any, _float32: Path, train: Arrays, _calibration: Arrays, file: Path) -> None:
    """The same guide's second half: pruned, then the converter's default quantization."""
    file.write_bytes(_converted(_pruned_by_the_guide(model, train), quantized=True))


def tfmot_aware(model: Any, _float32: Path, train: Arrays, _calibration: Arrays, file: Path) -> None:
    """Quantization-aware training as TFMOT's guide has it: one epoch on a thousand examples, in batches of 500."""
    import tensorflow_model_optimization as tfmot

    aware = tfmot.quantization.keras.quantize_model(model)
    few = train.take(np.arange(min(1000, len(train))))
    file.write_bytes(_converted(_fitted(aware, few, epochs=1, batch=500, rate=1e-3), quantized=True))


def tfmot_combined(model: Any, _float32: Path, train: Arrays, _calibration: Arrays, file: Path) -> None:
    """TFMOT's tutorial of everything at once (PCQAT): half the weights pruned, 8 clusters, then aware training."""
    import tensorflow_model_optimization as tfmot
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    prune, clustering, combine = tfmot.sparsity.keras, tfmot.clustering.keras, tfmot.experimental.combine
    schedule = prune.ConstantSparsity(0.5, begin_step=0, frequency=100)
    wrapped = prune.prune_low_magnitude(model, pruning_schedule=schedule)
    pruned = prune.strip_pruning(
        _fitted(wrapped, train, epochs=3, rate=TUTORIAL_RATE, callbacks=[prune.UpdatePruningStep()])
    )
    wrapped = cluster.cluster_weights(
        pruned,
        number_of_clusters=8,
        cluster_centroids_init=clustering.CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity=True,
    )
    clustered = clustering.strip_clustering(_fitted(wrapped, train, epochs=3, rate=TUTORIAL_RATE))
    annotated = tfmot.quantization.keras.quantize_annotate_model(clustered)
    scheme = combine.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=True)
    aware = _fitted(tfmot.quantization.keras.quantize_apply(annotated, scheme), train, epochs=1, batch=128, rate=1e-3)
    file.write_bytes(_converted(combine.strip_clustering_cqat(aware), quantized=True))


LITERT: dict[str, Maker] = {
    **{f"ai-edge-quantizer {name}": ai_edge(name) for name in AI_EDGE},
    "TFMOT pruning guide": tfmot_pruned,
    "TFMOT pruning guide, quantized": tfmot_pruned_dynamic,
    "TFMOT quantization-aware guide": tfmot_aware,
    "TFMOT prune, cluster and aware tutorial": tfmot_combined,
}
OPENVINO: dict[str, Maker] = {"NNCF post-training int8": nncf_int8}


def _pruned_by_the_guide(model: Any, train: Arrays) -> Any:
    import tensorflow_model_optimization as tfmot

    prune, batch, epochs = tfmot.sparsity.keras, 128, 2
    end = int(np.ceil(len(train) / batch)) * epochs
    schedule = prune.PolynomialDecay(initial_sparsity=0.5, final_sparsity=0.8, begin_step=0, end_step=end)
    wrapped = prune.prune_low_magnitude(model, pruning_schedule=schedule)
    steps = [prune.UpdatePruningStep()]
    return prune.strip_pruning(_fitted(wrapped, train, epochs=epochs, batch=batch, rate=1e-3, callbacks=steps))


def _fitted(
    model: Any, train: Arrays, *, epochs: int, rate: float, batch: int = BATCH, callbacks: list[Any] | None = None
) -> Any:
    import tf_keras as keras

    model.compile(keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    labels = train.targets[LABEL]
    model.fit(
        train.inputs, labels, batch_size=batch, epochs=epochs, validation_split=0.1, verbose=0, callbacks=callbacks
    )
    return model


def _converted(model: Any, *, quantized: bool = False) -> bytes:
    import tensorflow as tf

    from tasks.quantize.litert import batch_of_one

    converter = tf.lite.TFLiteConverter.from_keras_model(batch_of_one(model))
    if quantized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content: bytes = converter.convert()
    return content


def _one_by_one(examples: Arrays) -> Iterator[dict[str, Any]]:
    for i in range(len(examples)):
        yield {name: array[i : i + 1] for name, array in examples.inputs.items()}
