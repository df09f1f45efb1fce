"""What a language model writes after an epoch: in words, by its own probabilities, and the same again."""

import numpy as np
import pytest

from tasks import files, paths
from tasks.examples.dataset import TEXT_BYTES
from tasks.examples.tokens import every_place, windows
from tasks.training import samples
from tests.bpe import byte_level

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
LETTERS, LENGTH = "abcdefghij", 4
IDS = np.arange(40, dtype=np.uint8) % len(LETTERS)


class Scores:
    """A model whose scores are the same everywhere; what it was asked is kept."""

    def __init__(self, scores):
        self.scores, self.asked = np.array(scores, np.float32), []

    def predict_on_batch(self, windows):
        self.asked.append(windows[0].tolist())
        return np.broadcast_to(self.scores, (*windows.shape, len(self.scores)))


def counting(words):
    """It knows what comes next in the alphabet, and is sure of it."""
    inputs = keras.Input((LENGTH,), dtype="int32", name="text")
    sure = 100 * np.roll(np.eye(words, dtype=np.float32), 1, axis=1)
    return keras.Model(inputs, keras.layers.Embedding(words, words, weights=[sure])(inputs))


def prepared(entry):
    described = {"schema_version": 1, "inputs": {"text": entry}, "targets": {}}
    paths.DATA.mkdir(parents=True)
    files.write_json(paths.DATA / "preprocess.json", described)
    return every_place("text", IDS, LENGTH, "label", {TEXT_BYTES: np.ones(10, np.uint8)})


def test_tokens_are_drawn_by_the_models_probabilities_at_the_temperature():
    scores = np.log([0.1, 0.2, 0.7])
    count = 4000
    found = samples.written(Scores(scores), np.zeros(LENGTH, np.int32), count)
    expected = np.exp(scores / samples.TEMPERATURE)
    expected /= expected.sum()
    shares = np.bincount(found, minlength=3) / count
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / count)).all()
    assert abs(shares[2] - 0.7) > 0.03, "at a temperature of 1 it would be another share"


def test_each_token_is_told_by_those_before_it_and_two_runs_write_the_same():
    one, other = Scores([0.0, 0.0, 0.0]), Scores([0.0, 0.0, 0.0])
    found = samples.written(one, np.array([2, 1, 0, 2]), 9)
    text = [2, 1, 0, 2, *found]
    assert one.asked == [text[k : k + LENGTH] for k in range(9)]
    assert samples.written(other, np.array([2, 1, 0, 2]), 9) == found
    assert len(set(found)) > 1


def test_after_each_epoch_there_is_a_text_in_the_words_of_the_data(project):
    validation = prepared({"kind": "tokens", "shape": [LENGTH], "vocabulary": 10, "characters": LETTERS})
    (after,) = samples.after_epochs(counting(10), validation, project / "written")
    for epoch in (0, 1, 1):
        after.on_epoch_end(epoch, {})
    expected = samples.HEAD + "abcd|" + "".join(LETTERS[(4 + k) % 10] for k in range(samples.NEW_TOKENS)) + "\n"
    found = {path.name: path.read_text() for path in (project / "written").iterdir()}
    assert found == {"epoch-0001.txt": expected, "epoch-0002.txt": expected}


def test_a_checkpoints_tokenizer_is_asked_where_the_text_was_read_by_it(project):
    import json

    made = byte_level("low lower lowest " * 20, 262)
    entry = {"kind": "tokens", "shape": [LENGTH], "vocabulary": 262, "tokenizer": json.loads(made.to_str())}
    (after,) = samples.after_epochs(counting(262), prepared(entry), project / "written")
    after.on_epoch_end(0, {})
    text = (project / "written" / "epoch-0001.txt").read_text()
    expected = made.decode([4 + k for k in range(samples.NEW_TOKENS)])
    assert text.endswith(f"|{expected}\n")


def test_of_other_data_nothing_is_written(project):
    assert samples.after_epochs(counting(10), windows("text", IDS, LENGTH, "label"), project / "written") == []
