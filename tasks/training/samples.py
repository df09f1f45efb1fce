"""What a language model writes after each epoch of its training: always behind the same words of the validation text.

Tokens are drawn by the model's own probabilities at `TEMPERATURE`, always with the same numbers of chance, so that what
differs between two epochs is the model; the likeliest alone would soon go round in a circle.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks import files, paths
from tasks.examples import Array, first, preprocess, vocabulary
from tasks.examples.dataset import TEXT_BYTES

if TYPE_CHECKING:
    import tf_keras

    from tasks.examples import Examples

NEW_TOKENS, TEMPERATURE, SHOWN = 64, 0.8, 24  # tokens that are written, and of the window before them, that are shown
HEAD = f"{NEW_TOKENS} tokens drawn at temperature {TEMPERATURE}; before the bar the validation text\n\n"
FILE = "epoch-{:04}.txt"
FOLDER = "samples"  # of a model's


def after_epochs(model: "tf_keras.Model", validation: "Examples", folder: Path) -> list[Any]:
    """The callbacks of Keras that write a text to `folder` after each epoch; none where the data's task is another.

    Args:
        model: a language model's input is a window of tokens [batch, length], its output the scores of each next one.
        validation: the first window is what the text goes on from.
        folder: where to; an epoch that is repeated writes the same.
    """
    if TEXT_BYTES not in validation.targets:
        return []
    import tf_keras as keras

    (entry,) = preprocess.read(paths.DATA / "preprocess.json")["inputs"].values()
    words = vocabulary.maker(entry)
    (window,) = (rows[0] for rows in first(validation, 1).inputs.values())
    last = window[-SHOWN:].tolist()
    shown = words.decode(last, skip_special_tokens=False)

    def after(epoch: int, _logs: Any) -> None:
        said = vocabulary.behind(words, last, written(model, window, NEW_TOKENS))
        folder.mkdir(parents=True, exist_ok=True)
        files.write_text(folder / FILE.format(epoch + 1), f"{HEAD}{shown}|{said}\n")

    return [keras.callbacks.LambdaCallback(on_epoch_end=after)]


def written(model: "tf_keras.Model", window: Array, count: int) -> list[int]:
    """So many tokens behind a window [length], each drawn by the scores behind the last tokens of as many.

    Drawing by the highest of scores to which Gumbel's noise is added: E. J. Gumbel (1954).
    """
    rng, text = np.random.default_rng(0), list(map(int, window))
    for _ in range(count):
        scores = model.predict_on_batch(np.array([text[-len(window) :]], np.int32))[0, -1]
        text.append(int(np.argmax(scores / TEMPERATURE + rng.gumbel(size=len(scores)))))
    return text[len(window) :]
