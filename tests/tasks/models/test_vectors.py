"""Words' vectors from a file: which words begin as them, what the others are, and files that are none."""

import gzip

import numpy as np
import pytest

from tasks import paths
from tasks.errors import DataError, ModelError
from tasks.examples import dataset
from tasks.examples.dataset import Spec, TensorSpec
from tasks.members import FAMILIES
from tasks.models import vectors
from tasks.stages import sources, train
from tasks.training import fit
from tests import least

keras = pytest.importorskip("tf_keras", reason="the training stack is not installed")
WIDTH = 8
VOCABULARY = ("[padding]", "[unknown]", "the", ".", "n't", "café", "not good", "stray")
IN_FILE = ("the", "café", ".", "n't", "elsewhere")
VECTORS = {word: np.random.default_rng(place).normal(size=WIDTH) for place, word in enumerate(IN_FILE)}
SIZES = {"bow": {"embedding": WIDTH}, "rnn": {"embedding": WIDTH}, "encoder": {"width": WIDTH, "heads": 2}}


def lines(found=VECTORS, end="\n"):
    return "".join(f"{word} {' '.join(map(repr, map(float, row)))}{end}" for word, row in found.items()).encode()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_bytes(lines())
    return path


def build(family, path, tensor=None, **keys):
    member = FAMILIES.load(family)
    tensor = tensor or TensorSpec((4,), "int32", len(VOCABULARY), words=VOCABULARY)
    params = member.schema.model_validate({"family": family, "vectors": str(path)} | SIZES[family] | keys)
    fit.reset(0)
    return member.build(params, Spec({"text": tensor}, ("a", "b")))


def beginnings(model):
    return dict(zip(VOCABULARY, model.get_layer("embedding").get_weights()[0], strict=True))


@pytest.mark.parametrize("family", SIZES)
def test_words_of_the_file_begin_as_it_has_them_and_the_others_apart(family, file, caplog):
    caplog.set_level("INFO")
    found = beginnings(build(family, file))
    for word in set(VOCABULARY) & set(VECTORS):
        assert np.allclose(found.pop(word), VECTORS[word], atol=1e-6)
    assert f"vectors: 4 of 8 words begin as in {file}" in caplog.text
    assert not found.pop("[padding]").any()
    assert not found.pop("[unknown]").any()  # which nothing may teach: no word is unknown in training
    others = np.array(list(found.values()))
    assert len(np.unique(others, axis=0)) == len(others) == 2
    known = np.array([VECTORS[word] for word in VOCABULARY if word in VECTORS])
    assert 0.5 < others.std() / known.std() < 1.6
    again = beginnings(build(family, file))
    assert all(np.array_equal(again[word], found[word]) for word in found)  # the seed is the run's


@pytest.mark.parametrize(
    "content",
    [
        lines(),
        lines(end="\r\n"),
        lines(end=" \n"),  # as fastText writes them
        b"5 8\n" + lines(),
        lines(dict(reversed(VECTORS.items()))),
        lines() + lines({"the": np.zeros(WIDTH), ".": np.ones(WIDTH)}),  # the first of two counts
        lines() + b"\xff\xfe" + b" 7" * WIDTH + b"\n\n",  # what is no UTF-8 is no word of ours
        lines().replace(b" ", b"\t"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_every_form_of_the_file_gives_the_same(content, packed, tmp_path):
    path = tmp_path / ("vectors.txt.gz" if packed else "vectors.txt")
    path.write_bytes(gzip.compress(content) if packed else content)
    found = vectors.read(path, set(VOCABULARY), WIDTH)
    assert found.keys() == set(VOCABULARY) & VECTORS.keys()
    assert all(np.allclose(row, VECTORS[word], atol=1e-6) for word, row in found.items())


def test_words_before_the_first_of_ours_may_have_spaces(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_bytes(b"a" + b" 1" * WIDTH + b"\n. . ." + b" 7" * WIDTH + b"\n" + lines())
    assert np.allclose(vectors.read(path, {"."}, WIDTH)["."], VECTORS["."])


ONES = b" 1" * WIDTH + b"\n"
WRONG = {
    b"": "none of the 8 words of the data is in it",
    b"other" + ONES: "none of the 8 words of the data is in it",
    b"\x00\x01\x02\n": ":1: a word and its numbers a line, .* expected; received b'",
    b"3 300\n\x00binary\n": ":2: a word and its numbers a line",
    b"the,1,2\n": ":1: a word and its numbers a line",
    b"a b c d\n": ":1: a word and its numbers a line",
    b"a" + ONES + b"the 1 2\n": rf":2: 'the': {WIDTH} finite numbers expected; received b'1 2'",
    b"a" + ONES + b"the" + b" x" * WIDTH: rf":2: 'the': {WIDTH} finite numbers expected; received b'x x",
    b"a" + ONES + b"the" + b" nan" * WIDTH: rf":2: 'the': {WIDTH} finite numbers expected; received b'nan nan",
    b"a" + ONES + b"the" + b" 4e38" * WIDTH: rf":2: 'the': {WIDTH} finite numbers expected; received b'4e38",
    b"a" + b" 1" * 2**19: ":1: a word and its numbers a line",
}


@pytest.mark.parametrize("content", WRONG)
def test_what_is_no_file_of_vectors_is_told_by_its_line(content, file):
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"^model.vectors: {file}.*{WRONG[content]}"):
        build("bow", file)


def test_a_file_that_cannot_be_read_is_one_line(file, tmp_path):
    with pytest.raises(DataError, match=r"^model.vectors: .*absent.txt: No such file or directory$"):
        build("bow", tmp_path / "absent.txt")
    packed = tmp_path / "cut.gz"
    packed.write_bytes(gzip.compress(lines())[:-20])
    with pytest.raises(DataError, match=r"^model.vectors: .*cut.gz: not packed by gzip, or cut off"):
        build("bow", packed)
    packed.write_bytes(lines())
    with pytest.raises(DataError, match=r"^model.vectors: .*cut.gz: not packed by gzip, or cut off"):
        build("bow", packed)


def test_another_width_says_what_to_set(file):
    with pytest.raises(ModelError, match=r":1: 8 numbers of each word; the embedding has 4: set `embedding` .* to 8"):
        build("rnn", file, embedding=4)


def test_data_without_words_are_refused(file):
    with pytest.raises(ModelError, match=r"model.vectors: .* the data has no words"):
        build("bow", file, TensorSpec((4,), "int32", 256))
    with pytest.raises(ModelError, match=r"model.vectors: .* a series"):
        build("rnn", file, TensorSpec((4, 2), "float32"))


def test_the_words_of_a_text_are_told_and_those_of_numbers_not():
    text = {"kind": "text", "length": 4, "vocabulary": list(VOCABULARY)}
    assert dataset.tensor_spec(text).words == VOCABULARY
    assert not dataset.tensor_spec({"kind": "tokens", "shape": [4], "vocabulary": 256, "bytes": True}).words


def test_a_changed_file_is_another_source_and_resumes_nothing(project, monkeypatch):
    file = project / "glove.txt"
    prepare = {"source": "docstrings", "split": {"by": "group"}}
    of = {name: {"family": "bow", "embedding": WIDTH, "vectors": "glove.txt"} for name in ("baseline", "student")}
    student = {"method": "distill", "parent": "baseline", "teacher": "baseline", "epochs": 1, "model": of["student"]}
    params = least.params(prepare, model={"family": "cnn"}, compress={"small": student})
    with pytest.raises(DataError, match=r"^compress.small.model.vectors: glove.txt: no such file$"):
        sources.models(params)
    params = least.params(prepare, model=of["baseline"])
    paths.DATA.mkdir(parents=True)
    (paths.DATA / "card.json").write_text("{}")
    folders, kept = [], train.checkpoint.kept

    def seen(*told):
        with kept(*told) as folder:
            folders.append(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(train.checkpoint, "kept", seen)
    for content in (lines(), lines() + b"\n"):
        file.write_bytes(content)
        sources.sources(params, "model")
        with pytest.raises(KeyboardInterrupt):
            train.train(params)
    assert len(set(folders)) == 2
