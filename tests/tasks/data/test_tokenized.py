"""A text becomes what a tokenizer makes of it as a whole, and what its tokens stand for is counted in bytes."""

import json
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from flows import given as looked
from tasks import paths
from tasks.data import text, tokenized
from tasks.errors import DataError, ModelError, ParamsError
from tasks.examples import dataset, preprocess
from tasks.params import Params, Prepare, check
from tasks.stages.prepare import prepare
from tasks.stages.sources import sources
from tests import least
from tests.bpe import byte_level

TEXT = "".join(f"{i} mäuse essen\n\n  {i * i} Käse 😀.\nUnd {i} mehr.\n" for i in range(60))
LENGTH = 16


def made(**parts):
    return byte_level(TEXT, **parts)


@pytest.fixture
def maker(project):
    (project / "text.txt").write_text(TEXT, encoding="utf-8")
    (project / "own").mkdir()
    found = made()
    found.save("own/tokenizer.json")
    return found


def section(**more):
    told = {"source": "text", "path": "text.txt", "length": LENGTH, "tokens": "tokenizer", "tokenizer": "own"}
    return Prepare.model_validate(told | more)


@pytest.mark.parametrize("piece", [2**20, 7, 100])
def test_pieces_become_the_tokens_of_the_whole(maker, piece, monkeypatch):
    monkeypatch.setattr(tokenized, "PIECE", piece)
    ids, words, sizes, _ = tokenized.tokens(TEXT, "own", "text.txt")
    assert ids.tolist() == maker.encode(TEXT).ids
    assert ids.dtype == np.uint16
    assert [words[number] for number in ids] == maker.encode(TEXT).tokens
    assert maker.decode(ids.tolist()) == TEXT
    assert int(sizes[ids].sum()) == len(TEXT.encode())


@given(st.text())
@settings(max_examples=50)
def test_any_text_is_counted_in_bytes(own_tokenizer, said):
    ids, _, sizes, _ = tokenized.tokens(said, str(own_tokenizer), "text")
    assert int(sizes[ids].sum()) == len(said.encode())


@pytest.fixture(scope="module")
def own_tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    made().save(str(path))
    return path


def test_the_stages_and_a_bundle_see_the_same_tokens(maker):
    params = SimpleNamespace(prepare=section(task="language", calibration=3))
    prepare(params)
    spec, train = dataset.spec(), dataset.load("train")
    assert len(spec.classes) == maker.get_vocab_size()
    first = train.arrays().inputs["text"][0]
    assert first.tolist() == maker.encode(TEXT).ids[:LENGTH]
    told = train.targets["label"][0]
    assert train.targets["(bytes)"][0] == len(maker.decode(told.tolist()).encode())
    described = preprocess.read(paths.DATA / "preprocess.json")
    said = maker.decode(first.tolist())
    (ready,) = preprocess.apply(described["inputs"]["text"], np.array([said]))
    assert ready.tolist() == first.tolist()
    (short,) = preprocess.apply(described["inputs"]["text"], np.array(["Käse"]))
    ids = maker.encode("Käse").ids
    assert short.tolist() == maker.encode(" ").ids * (LENGTH - len(ids)) + ids


def test_what_a_sentencepiece_tokenizer_puts_for_spaces_counts_as_them(project):
    maker = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    maker.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    maker.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    fallback = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=["<unk>", *fallback], show_progress=False)
    maker.train_from_iterator([TEXT.replace("😀", "")], trainer)
    maker.save("tokenizer.json")
    _, words, sizes, _ = tokenized.tokens("Und 3 mäuse", "tokenizer.json", "text")
    assert sizes[words.index("<0xF0>")] == 1
    assert sizes[words.index("ä")] == 2


def test_a_tokenizer_that_changes_what_it_reads_is_refused(maker):
    made(normalizer=normalizers.Replace(Regex("[aeiou]"), "")).save("own/tokenizer.json")
    with pytest.raises(DataError, match=r"^text.txt: \d+ bytes of text become tokens of \d+ by own: it leaves out"):
        text.load(section())


SAME_SIZE = {  # changes that leave as many bytes: what is first, and what it becomes
    "letters": (normalizers.Lowercase(), "Käse", "käse"),
    "lines": (normalizers.Replace("\n", " "), "\n\n  0 K", "    0 K"),
    "one letter": (normalizers.Replace("59 m", "58 m"), "9 mäuse", "8 mäuse"),
}


@pytest.mark.parametrize("piece", [2**20, 100])
@pytest.mark.parametrize("case", SAME_SIZE)
def test_a_tokenizer_that_changes_what_it_reads_to_as_much_is_refused(maker, case, piece, monkeypatch):
    monkeypatch.setattr(tokenized, "PIECE", piece)
    normalizer, before, after = SAME_SIZE[case]
    made(normalizer=normalizer).save("own/tokenizer.json")
    with pytest.raises(DataError, match="it leaves out or changes what it reads, first") as told:
        text.load(section())
    assert f"first {before!r}"[:-1] in str(told.value)
    assert f"to {after!r}"[:-1] in str(told.value)
    assert "\n" not in str(told.value)


def test_a_token_for_what_is_unknown_is_not_the_text_though_as_long(project):
    Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?")).save("tokenizer.json")
    assert tokenized.tokens("a", "tokenizer.json", "text")[0].tolist() == [0]
    with pytest.raises(DataError, match=r"1 bytes of text become tokens of 1 by .*, first 'b' to '\?'"):
        tokenized.tokens("b", "tokenizer.json", "text")


@pytest.mark.parametrize("said", ["a <｜end▁of｜> b", "éé café", "Ġ a"])
def test_added_tokens_are_counted_as_they_stand_in_the_text(project, said):
    maker = made()
    maker.add_special_tokens(["<｜end▁of｜>"])
    maker.add_tokens(["é"])
    maker.save("tokenizer.json")
    ids, _, sizes, _ = tokenized.tokens(said, "tokenizer.json", "text")
    assert ids.tolist() == maker.encode(said).ids
    assert int(sizes[ids].sum()) == len(said.encode())


PREFIXED = {
    "bytes": {"pre_tokenizer": pre_tokenizers.ByteLevel(add_prefix_space=True)},
    "as Llama 2": {
        "normalizer": normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        "pre_tokenizer": pre_tokenizers.Split(Regex(r"▁*[^▁]+|▁+"), "isolated"),
        "decoder": decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]),
    },
}


@pytest.mark.parametrize("piece", [2**20, 50])
@pytest.mark.parametrize("case", PREFIXED)
def test_a_space_before_each_piece_is_no_change(project, case, piece, monkeypatch):
    monkeypatch.setattr(tokenized, "PIECE", piece)
    made(**PREFIXED[case]).save("tokenizer.json")
    ids, _, sizes, _ = tokenized.tokens(TEXT, "tokenizer.json", "text")
    assert int(sizes[ids].sum()) == len(TEXT.encode()) + len(list(tokenized._pieces(TEXT)))


@pytest.mark.parametrize("number", [1 << 22, 100_000_000])
def test_a_token_of_a_number_beyond_all_takes_no_memory(project, number):
    Path("tokenizer.json").write_text(written(number))
    tracemalloc.start()
    try:
        with pytest.raises(
            ModelError, match=f"^tokenizer.json: the token 'far' has number {number:,}; .* below 4,194,304"
        ):
            tokenized.tokens("a", "tokenizer.json", "text")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_numbers_that_are_no_tokens_are_their_own_words(project):
    Path("tokenizer.json").write_text(written(1000))
    _, words, _, _ = tokenized.tokens("a", "tokenizer.json", "text")
    assert (words[0], words[999], words[1000]) == ("a", "<999>", "far")


def written(number):
    """A tokenizer.json whose tokens have the numbers 0 and `number`."""
    model = {"type": "WordLevel", "vocab": {"a": 0, "far": number}, "unk_token": "a"}
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model})


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "own/tokenizer.json: no such file"), ("{}", "no whole tokenizer: "), ("x", "no whole tokenizer: ")],
)
def test_no_tokenizer_is_one_line(maker, content, said):
    Path("own/tokenizer.json").unlink()
    if content is not None:
        Path("own/tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=said) as caught:
        text.load(section())
    assert "\n" not in str(caught.value)


def test_it_is_looked_for_before_anything_starts_and_what_follows_hangs_from_it(maker):
    params = least.params({"source": "text", "path": "text.txt", "tokens": "tokenizer", "tokenizer": "absent"})
    with pytest.raises(DataError, match=r"^prepare.tokenizer: absent: no such file or folder$"):
        looked.check(params)
    params = least.params({"source": "text", "path": "text.txt", "tokens": "tokenizer", "tokenizer": "own"})
    looked.check(params)
    sources(params, "data")
    before = json.loads(paths.source("data").read_text())
    assert set(before) == {"own/tokenizer.json", "text.txt"}
    Path("own/tokenizer.json").write_text("{}")
    sources(params, "data")
    assert json.loads(paths.source("data").read_text()) != before


@pytest.mark.parametrize("told", [{"tokens": "tokenizer"}, {"tokenizer": "own"}])
def test_one_of_two_keys_is_refused(told):
    with pytest.raises(ParamsError, match="tokens: tokenizer and the key `tokenizer` go together"):
        check(Params, {"name": "x", "prepare": {"source": "pydoc", **told}}, Path("params.yaml"))
