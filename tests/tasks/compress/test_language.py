"""A checkpoint is trained on by a text, taught by another one, and made smaller: it stays a decoder with its caches."""

from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from tasks import paths
from tasks.bench.runner import language as runner
from tasks.channels import saliency
from tasks.channels.tracing import trace
from tasks.checkpoints import load, write
from tasks.compress import model as compressing
from tasks.errors import ModelError, ParamsError
from tasks.examples import Arrays, dataset
from tasks.examples.dataset import LABEL, TEACHER, TEXT_BYTES
from tasks.formats import tflite
from tasks.models import decoder, transformer
from tasks.params import Cnn, Decoder, Quantize, Slim
from tasks.quantize import language, signatures
from tasks.records import ModelCard, read
from tasks.stages.compress import compress
from tasks.stages.prepare import prepare
from tasks.stages.train import train
from tasks.training import keras_files
from tests import checkpoints, least

pytest.importorskip("tf_keras", reason="the training stack is not installed")
LENGTH, FITTING = 16, {"batch_size": 8, "optimizer": "adam", "learning_rate": 0.003}
LARGE = {"family": "decoder", "source": "qwen3"}


def settings():
    return least.params(
        {"source": "text", "path": "text.txt", "task": "language", "tokens": "characters", "length": LENGTH},
        model={"family": "decoder", "source": "llama"},
        train={"epochs": 2, **FITTING},
        compress={
            "taught": {
                "parent": "baseline", "method": "distill", "teacher": LARGE, "teacher_weight": 1.0, "temperature": 1.0,
                "epochs": 3, **FITTING,
            },
            "slimmed": {
                "parent": "baseline", "method": "slim", "teacher": "baseline", "epochs": 0, **FITTING,
                "widths": {"layer_0_attend": 1, "layer_0_up": 24},
            },
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project whose checkpoint has been trained on."""
    folder = tmp_path_factory.mktemp("language")
    with chdir(folder):
        words = np.random.default_rng(5).choice(["to be", "or", "not", "that is", "the question"], 400)
        (folder / "text.txt").write_text(" ".join(words))
        for name in ("llama", "qwen3"):
            known = checkpoints.about(name)
            tensors = {key: shape for key, shape in known["tensors"].items() if "layers." not in key or ".0." in key}
            checkpoints.write(folder / name, known["config"] | {"num_hidden_layers": 1}, tensors)
        prepare(settings())
        train(settings())
    return folder


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    monkeypatch.chdir(folder)


def scores(model):
    """Of the validation windows, and their next tokens."""
    examples = dataset.load("validation").arrays()
    return log_softmax(np.asarray(model(examples.inputs["text"]), np.float64), axis=2), examples.targets[LABEL]


def nats(model):
    found, label = scores(model)
    return -np.take_along_axis(found, label[..., None].astype(int), axis=2).mean()


def divergence(teacher, student):
    theirs, ours = scores(teacher)[0], scores(student)[0]
    return (np.exp(theirs) * (theirs - ours)).sum(axis=2).mean()


def test_a_checkpoint_is_trained_on_from_its_weights():
    loaded = load.load(Path("llama")).model(LENGTH)
    trained, card = keras_files.load("baseline")
    assert card.epochs == 2
    assert card.history["val_loss"][-1] == pytest.approx(nats(trained), rel=1e-4)
    assert card.history["val_loss"][-1] < card.history["val_loss"][0] < nats(loaded) - 0.5
    before, after = loaded.get_layer("embedding").get_weights()[0], trained.get_layer("embedding").get_weights()[0]
    unseen = np.arange(len(dataset.spec().classes), len(before))
    assert np.array_equal(before[unseen], after[unseen]), "rows of tokens that the text has not are as they were"


def test_a_student_comes_to_say_what_a_larger_checkpoint_says():
    compress(settings(), "taught")
    student, card = keras_files.load("taught")
    teacher = load.load(Path("qwen3")).model(LENGTH)
    start = keras_files.load("baseline")[0]
    assert divergence(teacher, student) < 0.5 * divergence(teacher, start)
    assert card.history["val_loss"][-1] == pytest.approx(nats(student), rel=1e-4), "it is judged by the text"
    assert card.total_epochs == 2 + 3
    assert card.params["distill"]["teacher"] == LARGE


def test_a_teacher_of_every_token_is_asked_batch_by_batch():
    asked = []

    class Teacher:
        input_names = ("text",)

        def __call__(self, inputs, training):
            asked.append(len(inputs[0]))
            return np.zeros((len(inputs[0]), 2, 5), np.float32)

    train = Arrays({"text": np.zeros((9, 2), np.int32)}, {LABEL: np.ones((9, 2), np.uint8), TEXT_BYTES: np.ones(9)})
    found = compressing.answers(Teacher(), train)
    assert not asked, "nothing is answered beforehand"
    few = train.also({TEACHER: found}).take(np.arange(3))
    inputs, targets = few.targets[TEACHER].beside("logits")(few.inputs, {"logits": few.targets[LABEL]})
    assert asked == [3]
    assert np.array_equal(targets["logits"], np.concatenate([np.ones((3, 2, 1)), np.zeros((3, 2, 5))], axis=2))
    assert inputs is few.inputs


def test_a_student_of_other_sizes_is_saved_by_these(folder, tmp_path, monkeypatch):
    from flows import save

    own = {"family": "transformer", "layers": 1, "width": 16, "heads": 2}
    student = {"parent": "baseline", "method": "distill", "teacher": "baseline", "epochs": 1, "model": own}
    pruned = {"parent": "student", "method": "prune", "sparsity": 0.5, "epochs": 1}
    known = settings().model_dump()
    params = type(settings()).model_validate({**known, "compress": {"student": student, "pruned": pruned}})
    made = transformer.build(params.compress["student"].model, dataset.spec())
    (folder / paths.model("pruned")).mkdir()
    (folder / paths.model("pruned") / "card.json").touch()
    monkeypatch.setattr(save.params, "load", lambda: params)
    monkeypatch.setattr(keras_files, "load", lambda name: (made, None))
    save.save("pruned", tmp_path / "saved")
    tokens = dataset.load("test").arrays().inputs["text"][:1]
    np.testing.assert_allclose(load.load(tmp_path / "saved").model(LENGTH)(tokens), made(tokens), atol=1e-5)
    image = type(params).model_construct(**{**dict(params), "model": Cnn(family="cnn"), "compress": {}})
    monkeypatch.setattr(save.params, "load", lambda: image)
    with pytest.raises(
        ParamsError, match="baseline: of the family cnn; a decoder and a transformer have such a folder"
    ):
        save.save("baseline", tmp_path / "other")


def test_who_teaches_says_what_matters_too():
    """Towards oneself there is nothing to lose: what the loss of a slice would be is 0 by the teacher's word alone."""
    model = keras_files.load("baseline")[0]
    train = dataset.load("train").take(np.arange(8))
    known = train.also({TEACHER: compressing.answers(model, train)})
    entry = {"method": "slim", "parent": "baseline", "keep": 0.5, "epochs": 0, "batch_size": 8, "teacher": "baseline"}
    scores = [
        saliency.score(model, trace(model), known, Slim.model_validate({**entry, "teacher_weight": weight}))
        for weight in (1.0, 0.0)
    ]
    assert scores[0].max() < 1e-6 * scores[1].max()


def test_a_teacher_of_other_tokens_is_refused(folder):
    about, tensors = checkpoints.about("llama")["config"], checkpoints.about("llama")["tensors"]
    tensors = {name: [80 if size == 96 else size for size in shape] for name, shape in tensors.items()}
    checkpoints.write(folder / "other", about | {"vocab_size": 80}, tensors)
    params = settings()
    entry = params.compress["taught"].model_copy(update={"teacher": Decoder(family="decoder", source="other")})
    with pytest.raises(ModelError, match=r"scores of 80 tokens at 16 places, the model of 96 at 16: .* same tokenizer"):
        compress(params.model_copy(update={"compress": {"taught": entry}}), "taught")


def test_a_checkpoint_whose_tokenizer_has_other_words_is_refused(folder):
    from tokenizers import Tokenizer, models

    spec = dataset.spec()
    tensor = replace(spec.inputs["text"], tokenized=True)
    tokenized = replace(spec, inputs={"text": tensor})
    words = {word: number for number, word in enumerate(spec.classes)}
    for others, told in (({}, None), ({"or": words[" "]}, "its token 0 is 'or', that of the data ' '")):
        known = {word: number for word, number in words.items() if number not in others.values()} | others
        Tokenizer(models.WordLevel(known | {"more": len(words)}, "more")).save(str(folder / "llama" / "tokenizer.json"))
        section = Decoder(family="decoder", source="llama")
        if told is None:
            assert decoder.build(section, tokenized).output_shape == (None, LENGTH, 96)
            continue
        with pytest.raises(ModelError, match=told):
            decoder.build(section, tokenized)
        assert decoder.build(section, spec), "of characters nobody says that they are a tokenizer's"
    (folder / "llama" / "tokenizer.json").unlink()


def test_a_slimmed_decoder_has_its_caches_and_is_what_others_load(folder, tmp_path):
    compress(settings(), "slimmed")
    slimmed, card = keras_files.load("slimmed")
    assert slimmed.get_layer("layer_0_attend").get_config()["kv_heads"] == 1
    assert card.parameters < 0.75 * read(ModelCard, paths.model("baseline") / "card.json").parameters
    (tmp_path / "model.tflite").write_bytes(
        language.make(slimmed, Quantize(model="slimmed", scheme="float32", prefill=(8,))).content
    )
    calls = [call.model_dump() for call in signatures.read(tflite.load(tmp_path / "model.tflite"))]
    driver = runner.Model(str(tmp_path / "model.tflite"), {"kernels": "default", "threads": 1, "signatures": calls})
    tokens = dataset.load("test").arrays().inputs["text"][:1]
    expected = np.asarray(slimmed(tokens))[0]
    for n in (1, 7, LENGTH):
        (prompt,) = driver.prepare({"tokens": tokens[:, :n]})
        driver.put(prompt)
        driver.invoke()
        np.testing.assert_allclose(driver.read()[0], expected[n - 1], rtol=0, atol=1e-4)
    write.write(slimmed, load.load(folder / "llama"), tmp_path / "saved")
    again = load.load(tmp_path / "saved")
    assert (again.spec.heads, again.spec.kv_heads, again.spec.hidden) == (2, 1, 24)
    np.testing.assert_allclose(again.model(LENGTH)(tokens), slimmed(tokens), atol=1e-5)
