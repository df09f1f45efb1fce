"""Images changed anew in each epoch of a fitting: turned over, moved, turned, a part of them blanked.

All of it is TensorFlow's own operation on a batch, the one behind Keras's layers for this; what those keep as a state
is here a function of (seed, step), so that a fitting that goes on sees what it would have seen. The square that is
blanked: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017).
"""

import math
from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError

if TYPE_CHECKING:
    from tasks.params import Training
    from tasks.params.training import Augment

FILL = {"zero": "CONSTANT", "reflect": "REFLECT", "nearest": "NEAREST"}
RANK = 4  # of images: [batch, height, width, channels]


def augmented(batches: Any, params: "Training", first_step: int) -> Any:
    """Batches of training whose images are changed as `params.augment` says; the targets stay.

    Args:
        batches: a data set of TensorFlow, of inputs and targets by name.
        params: the fitting.
        first_step: how many batches came before these, in all epochs.

    Raises:
        ModelError: no input is of images, float [batch, height, width, channels].
    """
    asked = params.augment
    if asked is None:
        return batches
    inputs, _ = batches.element_spec
    found = [name for name, spec in inputs.items() if spec.shape.rank == RANK and spec.dtype.is_floating]
    if not found:
        raise ModelError("augment: it is for images, and the data have none")
    import tensorflow as tf

    def change(step: Any, batch: Any) -> Any:
        inputs, targets = batch
        seed = tf.random.experimental.stateless_fold_in(tf.constant([params.seed, 0], tf.int64), step)
        return inputs | {name: changed(inputs[name], asked, seed) for name in found}, targets

    return batches.enumerate(first_step).map(change, num_parallel_calls=1).prefetch(2)


def changed(images: Any, params: "Augment", seed: Any) -> Any:
    """A batch of images, each changed by chance.

    Args:
        images: float32 [n, height, width, channels].
        params: how.
        seed: int [2]: the same seed changes the same images alike.
    """
    import tensorflow as tf

    moving, blanking = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    if params.flip or params.shift or params.rotate:
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=_moves(images, params, moving),
            output_shape=tf.shape(images)[1:3],
            fill_value=0.0,
            interpolation="BILINEAR" if params.rotate else "NEAREST",
            fill_mode=FILL[params.fill],
        )
        images = tf.ensure_shape(moved, images.shape)
    if side := round(params.cutout * min(images.shape[1:3])):
        images = tf.where(_squares(images, side, blanking), 0.0, images)
    return images


def _moves(images: Any, params: "Augment", seed: Any) -> Any:
    """Where in an image each of its pixels comes from: float32 [n, 8], the first six of an affine map of (x, y)."""
    import tensorflow as tf

    height, width = images.shape[1:3]
    n, seeds = tf.shape(images)[0], tf.unstack(tf.random.experimental.stateless_split(seed, 5))

    def sign(axis: str, seed: Any) -> Any:
        wanted = params.flip in (axis, "both")
        drawn = tf.random.stateless_uniform([n], seed, 0, 2, tf.int32) if wanted else tf.zeros([n], tf.int32)
        return 1.0 - 2.0 * tf.cast(drawn, tf.float32)

    def pixels(side: int, seed: Any) -> Any:
        most = round(params.shift * side)
        return tf.cast(tf.random.stateless_uniform([n], seed, -most, most + 1, tf.int32), tf.float32)

    over_x, over_y = sign("horizontal", seeds[0]), sign("vertical", seeds[1])
    most = params.rotate * math.pi / 180
    angle = tf.random.stateless_uniform([n], seeds[4], -most, most) if most else tf.zeros([n])
    cos, sin, zero = tf.cos(angle), tf.sin(angle), tf.zeros([n])
    row_x, row_y = (over_x * cos, -over_x * sin), (over_y * sin, over_y * cos)
    middle = ((width - 1) / 2, (height - 1) / 2)
    x, y = (
        middle[axis] + pixels(side, seeds[2 + axis]) - (row[0] * middle[0] + row[1] * middle[1])
        for axis, (side, row) in enumerate(((width, row_x), (height, row_y)))
    )
    return tf.stack([*row_x, x, *row_y, y, zero, zero], axis=1)


def _squares(images: Any, side: int, seed: Any) -> Any:
    """Of each image a square whose centre lies anywhere in it: bool [n, height, width, 1]."""
    import tensorflow as tf

    n, within = tf.shape(images)[0], []
    for axis, one in enumerate(tf.unstack(tf.random.experimental.stateless_split(seed, 2))):
        length = images.shape[1 + axis]
        start = tf.random.stateless_uniform([n], one, 0, length, tf.int32) - side // 2
        place = tf.range(length)[None] - start[:, None]
        within.append((place >= 0) & (place < side))
    rows, columns = within
    return rows[:, :, None, None] & columns[:, None, :, None]
