"""The tokenizer of a text's tokens gives the numbers that the data have."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from tasks.examples import preprocess, texts, vocabulary

BYTES = {"kind": "tokens", "shape": [64], "vocabulary": 256, "bytes": True}


@given(st.text())
def test_bytes_are_those_of_the_text(text):
    made = vocabulary.tokenizer(BYTES)
    found = made.encode(text).ids
    assert found == list(text.encode())
    assert made.decode(found) == text
    assert vocabulary.end(BYTES) not in found


@given(st.text(min_size=1), st.text(min_size=1, max_size=20))
def test_characters_are_numbered_as_the_windows_are(known, text):
    known = "".join(sorted(set(known)))
    entry = {"kind": "tokens", "shape": [len(text)], "vocabulary": len(known) + 1, "characters": known}
    made = vocabulary.tokenizer(entry)
    found = made.encode(text).ids
    assert found == preprocess.apply(entry, np.array([text], object))[0].tolist()
    assert vocabulary.end(entry) not in made.encode(known).ids
    assert made.decode(made.encode(known).ids) == known


def test_numbers_have_no_tokenizer():
    assert vocabulary.tokenizer({"kind": "tokens", "shape": [64], "vocabulary": 256}) is None


WORDS = "the cat is on the mat, and the mouse is in the house.\n\n\tNo 12 Käse: 1024 Mäuse!  \n" * 9
MERGES = vocabulary.learn(WORDS, 290)
BPE = {"kind": "tokens", "shape": [8], "vocabulary": 290, "merges": MERGES}
ANY = st.one_of(st.text(), st.text(" \n\t\raé1!the"))


@given(ANY)
def test_a_text_comes_back_from_what_was_learnt(text):
    made = vocabulary.tokenizer(BPE)
    found = made.encode(text).ids
    assert made.decode(found) == text
    assert "".join(made.id_to_token(number) for number in found) == "".join(
        texts.signs()[byte] for byte in text.encode()
    )
    assert vocabulary.end(BPE) not in found


@given(ANY)
def test_what_is_shipped_reads_a_text_likewise(text):
    assert texts.pairs(text, MERGES) == vocabulary.tokenizer(BPE).encode(text).ids


@given(ANY, st.integers(0, 9))
def test_pieces_are_the_text(text, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "PIECE", piece)
        pieces = [*vocabulary._pieces(text)]
        assert "".join(pieces) == text
        if text:
            found = vocabulary.numbers(text, MERGES)
            assert found.dtype == np.uint16
            assert found.tolist() == vocabulary.tokenizer(BPE).encode(text).ids


def test_what_stands_together_most_often_is_merged_first():
    """By hand: of "abab…" first a and b, then twice that, and so on."""
    merges = vocabulary.learn("abababab\n" * 4, 259)
    assert merges == [["a", "b"], ["ab", "ab"], ["abab", "abab"]]
    assert texts.words(merges)[256:] == ["ab", "abab", "abababab"]


def test_the_same_text_gives_the_same_merges():
    assert vocabulary.learn(WORDS, 290) == MERGES
    assert len(texts.words(MERGES)) == 290


def test_the_last_tokens_of_a_text_are_taken_with_spaces_before_a_short_one():
    long, short = preprocess.apply(BPE, np.array(["the cat is on the mat, and the mouse", "é"], object))
    assert long.tolist() == vocabulary.tokenizer(BPE).encode("the cat is on the mat, and the mouse").ids[-8:]
    (space,) = vocabulary.tokenizer(BPE).encode(" ").ids
    e = vocabulary.tokenizer(BPE).encode("é").ids
    assert short.tolist() == [space] * (8 - len(e)) + e


def test_what_stands_behind_a_text_keeps_the_space_between():
    """As Llama 2's tokens, which bear the space before them, of which a text's first one loses its own."""
    words = Tokenizer(models.WordLevel({"▁the": 0, "▁sky": 1, "▁is": 2, "▁blue": 3}, unk_token="▁the"))
    words.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    assert words.decode([3]) == "blue"
    assert vocabulary.behind(words, [0, 1, 2], [3]) == " blue"
    assert vocabulary.behind(words, [], [3]) == "blue"
    halves = vocabulary.tokenizer({"bytes": True})
    before, after = halves.encode("aé").ids[:2], halves.encode("é").ids[1:]
    assert vocabulary.behind(halves, before, [*after, ord("b")])[-1] == "b", "of half a character nobody can tell more"
