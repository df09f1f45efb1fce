"""The tokenizer of a text's tokens gives the numbers that the data have."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.examples import preprocess, vocabulary

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
