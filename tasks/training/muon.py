"""Muon: steps of one size in every direction of a matrix.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), kellerjordan.github.io/posts/muon.
"""

from collections.abc import Collection
from typing import Any

import tensorflow as tf
import tf_keras as keras

BETA = 0.95  # of its momentum
ROUNDS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the polynomial that drives all singular values towards 1
RATE = 10 / 3  # of the learning rate, which is Adam's


class Muon(keras.optimizers.Adam):  # type: ignore[misc]  # tf_keras ships no types
    """Muon for some matrices, and Adam for all other weights: embeddings, norms, biases, what gives the outputs.

    Args:
        matrices: variables float32 [in, out], or the kernels of convolutions [height, width, in, out], each a matrix
            of one row for each number that an output is made of.
        learning_rate: of Adam, a number or a schedule; Muon's is 10/3 of it.
        options: what every Keras optimizer takes.
    """

    def __init__(self, matrices: Collection[Any], learning_rate: Any, **options: Any) -> None:
        super().__init__(learning_rate, name="Muon", jit_compile=False, **options)
        self._matrices = {self._var_key(variable) for variable in matrices}

    def update_step(self, gradient: Any, variable: Any) -> None:
        """Change one variable by its gradient."""
        if self._var_key(variable) not in self._matrices:
            super().update_step(gradient, variable)
            return
        rate = RATE * tf.cast(self.learning_rate, variable.dtype)
        momentum = self._momentums[self._index_dict[self._var_key(variable)]]
        momentum.assign_add((gradient - momentum) * (1 - BETA))
        made = variable.shape[-1]
        step = orthogonal(tf.reshape(gradient + (momentum - gradient) * BETA, [-1, made]))
        given = step.shape[0]
        variable.assign_sub(rate * max(1.0, made / given) ** 0.5 * tf.reshape(step, variable.shape))


def orthogonal(matrix: Any) -> Any:
    """A matrix of the same directions whose singular values are near 1 (0.7 to 1.2), by Newton and Schulz.

    Args:
        matrix: float32 [rows, columns].
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = tf.transpose(matrix) if tall else matrix
    x = x / (tf.norm(x) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        square = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * square + c * tf.matmul(square, square), x)
    return tf.transpose(x) if tall else x
