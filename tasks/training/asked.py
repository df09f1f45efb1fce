"""A teacher that is asked batch by batch: its answers would not fit into memory, or the images are changed anew."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tf_keras

Batch = tuple[dict[str, Any], dict[str, Any]]  # inputs and targets, by name


@dataclass(frozen=True)
class Asked:
    """Stands among the targets for the answers of a teacher: whichever examples are taken, it answers to those."""

    # takes the data's inputs by name; gives scores float32 [batch, length, vocabulary], or probabilities
    # [batch, classes]
    teacher: "tf_keras.Model"

    def __getitem__(self, _indices: Any) -> "Asked":
        return self

    def beside(self, output: str) -> Callable[[Any, Any], Batch]:
        """A function of a batch's inputs and targets that gives them with answers beside the next tokens, or labels.

        The target of `output`, integers [batch, length], becomes float32 [batch, length, 1 + vocabulary]; class numbers
        [batch] become [batch, 1 + classes].
        """
        import tensorflow as tf

        def answered(inputs: dict[str, Any], targets: dict[str, Any]) -> Batch:
            answers = self.teacher([inputs[name] for name in self.teacher.input_names], training=False)
            label = tf.cast(targets[output], answers.dtype)[..., None]
            return inputs, targets | {output: tf.concat([label, answers], axis=-1)}

        return answered


@contextmanager
def in_steps(model: "tf_keras.Model", ask: Callable[[Any, Any], Batch] | None) -> Iterator[None]:
    """Within it a step of fitting `model` asks a teacher first, where there is one to `ask`: see `Asked.beside`.

    A step's graph has its norms folded and computes at the precision that was chosen; what maps a data set has neither,
    and there a ResNet-20 takes 2.3 times as long to answer.
    """
    if ask is None:
        yield
        return
    step = model.train_step
    model.train_step = lambda batch: step(ask(*batch))
    try:
        yield
    finally:
        del model.train_step
        model.train_function = None  # which has the teacher in it
