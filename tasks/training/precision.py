"""Products in bfloat16 while a model is fitted, where the processor multiplies these.

Micikevicius et al., "Mixed Precision Training" (2018); Kalamkar et al., "A Study of BFLOAT16 for Deep Learning
Training" (2019): weights, sums and the optimizer stay float32, and the range of a bfloat16 needs no scaled loss.
TensorFlow rewrites the graph of a step so; the model and whoever reads it know nothing of it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.params import Training

OPTION = "auto_mixed_precision_onednn_bfloat16"  # of TensorFlow's optimizer of graphs
FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}  # of processors, as Linux calls them; the last of Arm
CPUINFO = Path("/proc/cpuinfo")
log = logging.getLogger(__name__)


def able() -> bool:
    """Whether this processor multiplies bfloat16; one that does not tell does not."""
    try:
        return bool(FEATURES & set(CPUINFO.read_text(encoding="utf-8").split()))
    except OSError:
        return False


@contextmanager
def chosen(params: "Training") -> Iterator[None]:
    """Within it a graph that is made computes at the precision of `params`, where this machine can; else in float32."""
    if params.precision == "mixed" and not able():
        log.warning("precision: mixed: this processor does not multiply bfloat16; all is computed in float32")
    if params.precision == "float32" or not able():
        yield
        return
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({OPTION: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({OPTION: False})
