"""A batch that goes over several workers, and comes to the same gradient as in one.

Each worker has every so-and-so-manieth example of each batch, by its place in the batch, so that all of them together
see what a single one would see, in the same steps, at the same learning rate. Keras takes the mean of a share, and the
mean over the workers of these; where a batch does not divide, its examples are weighed so that this is the mean of all
examples. The statistics of batch normalisation are those of the whole batch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.errors import ModelError

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class Spread:
    """The workers of a strategy of `tf.distribute`, one for each of its replicas."""

    strategy: Any

    def taught(self, batches: Any) -> Any:
        """Batches of training, (inputs, targets) of a whole batch each, as this process's workers are to get them.

        Reading and changing them is done by every process for the whole batch: that keeps what is drawn by chance.
        """
        return self._distributed(batches, weighed=True)

    def judged(self, batches: Any) -> Any:
        """Likewise those that are judged only, again and again; of a small last one a worker may get none."""
        return self._distributed(batches.repeat(), weighed=False)

    def _distributed(self, batches: Any, *, weighed: bool) -> Any:
        import tensorflow as tf

        def made(context: Any) -> Any:
            workers = context.num_replicas_in_sync
            here = workers // context.num_input_pipelines
            first = context.input_pipeline_id * here

            def shares(inputs: Any, targets: Any) -> Any:
                def share(worker: Any) -> Any:
                    ours = tf.nest.map_structure(lambda rows: rows[worker::workers], (inputs, targets))
                    if not weighed:
                        return ours
                    whole, part = (tf.shape(tf.nest.flatten(each)[0])[0] for each in (targets, ours[1]))
                    weight = tf.cast(part * workers, tf.float32) / tf.cast(whole, tf.float32)
                    return *ours, tf.fill([part], weight)

                return tf.data.Dataset.range(first, first + here).map(share, num_parallel_calls=1)

            return batches.flat_map(shares).prefetch(2 * here)

        return self.strategy.distribute_datasets_from_function(made)


def check(examples: int, batch_size: int, workers: int) -> None:
    """See that no worker is ever without an example to learn from.

    Raises:
        ModelError: one would be, in the last batch of each epoch or in all.
    """
    last = examples % batch_size or min(batch_size, examples)
    if last < workers:
        raise ModelError(
            f"train.parallel: the last batch of an epoch has {last} of {examples:,} examples, too few for {workers} "
            f"workers; received batch_size {batch_size}: choose another"
        )


def synchronize(model: "tf_keras.Model") -> None:
    """Have every batch normalisation of a model take its statistics over all workers while it is fitted.

    Ioffe and Szegedy, "Batch Normalization" (2015), of the whole batch; TensorFlow has it as a switch of the layer.
    """
    for layer in model._flatten_layers(include_self=False):
        if hasattr(layer, "synchronized"):
            layer.synchronized = True
            layer.fused = False  # the kernel of one device, which knows of no other
