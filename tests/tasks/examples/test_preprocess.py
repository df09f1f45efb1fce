import json
import shutil
import subprocess
import sys
import time
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.examples import preprocess, tables, texts

IMAGE = {"kind": "image", "shape": [2, 3, 2], "mean": [10.0, 20.0], "scale": [2.0, 4.0]}
TEXT = {"kind": "text", "length": 5, "vocabulary": [*texts.RESERVED, "the", "film", ",", "don't", "'s"]}


def test_images_are_centred_and_scaled_by_channel():
    raw = np.arange(24, dtype=np.uint8).reshape(2, 2, 3, 2)
    ready = preprocess.apply(IMAGE, raw)
    assert ready.dtype == np.float32
    assert ready[0, 0, 1].tolist() == [(2 - 10) / 2, (3 - 20) / 4]
    assert ready[1, 1, 2].tolist() == [(22 - 10) / 2, (23 - 20) / 4]
    assert raw[0, 0, 1].tolist() == [2, 3]  # left alone


@pytest.mark.parametrize(
    "raw",
    [
        np.zeros((1, 2, 3, 2), np.float32),  # perhaps scaled already
        np.zeros((1, 3, 2, 2), np.uint8),
        np.zeros((2, 3, 2), np.uint8),  # no batch
        np.zeros((), np.uint8),
    ],
)
def test_images_of_another_kind_are_refused(raw):
    with pytest.raises(ValueError, match=r"images of uint8 \[n, 2, 3, 2\] expected; received"):
        preprocess.apply(IMAGE, raw)


def test_texts_become_padded_or_cut_numbers():
    raw = np.array(["The FILM", "Don't, the film's Zebra: the end", ""])
    ready = preprocess.apply(TEXT, raw)
    assert ready.dtype == np.int32
    assert ready.tolist() == [[2, 3, 0, 0, 0], [5, 4, 2, 1, 1], [0, 0, 0, 0, 0]]


def test_texts_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"str \[n\] expected; received <U1 \[1, 1\]"):
        preprocess.apply(TEXT, np.array([["a"]]))
    with pytest.raises(ValueError, match=r"received uint8 \[1\]"):
        preprocess.apply(TEXT, np.zeros(1, np.uint8))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("wo n't sit still", ["wo", "n't", "sit", "still"]),
        ("bartleby 's end , really !", ["bartleby", "'s", "end", ",", "really", "!"]),
        ("Café №5", ["café", "№", "5"]),
        ("[padding] [unknown]", ["[", "padding", "]", "[", "unknown", "]"]),
        (" \t ", []),
        ("手机 很好。iPhone手机", ["手", "机", "很", "好", "。", "iphone", "手", "机"]),
        ("これはペン", ["こ", "れ", "は", "ペ", "ン"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("שָׁלוֹם", ["שָׁלוֹם"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),
        ("\u304b\u3099", ["が"]),
        ("\u1112\u1161\u11ab", ["한"]),
    ],
)
def test_tokens(text, tokens):
    assert texts.tokens(text) == tokens


@given(st.text("aZéßİ'’_ [],!9\t\n№字かไि\u0301", max_size=60))
def test_tokens_lose_nothing_but_space(text):
    assert normalize("NFC", "".join(texts.tokens(text))) == normalize("NFC", "".join(text.lower().split()))
    assert not set(texts.RESERVED) & set(texts.tokens(text))


def test_a_text_of_accents_is_read_in_no_time():
    """To put them in order, as Unicode's normal form does, would take minutes."""
    began = time.perf_counter()
    (token,) = texts.tokens("a" + "\u0301\u0323" * 10**6)
    assert len(token) == 1 + 2 * 10**6
    assert time.perf_counter() - began < 10


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="received 'sound'"):
        preprocess.apply({"kind": "sound"}, np.zeros(1, np.uint8))


def test_reading_refuses_what_is_not_its_schema(tmp_path):
    path = tmp_path / "preprocess.json"
    for content in ('{"schema_version": 2}', "[]", "{"):
        path.write_text(content)
        with pytest.raises(ValueError):
            preprocess.read(path)
    path.write_text('{"schema_version": 1, "inputs": {}}')
    assert preprocess.read(path)["inputs"] == {}


def test_the_files_alone_give_the_same_on_a_device(tmp_path):
    """Copied away from the project and run in isolation, they need only the standard library and numpy."""
    (tmp_path / "shipped").mkdir()
    for module in (preprocess, tables, texts):
        shutil.copy(module.__file__, tmp_path / "shipped")
    (tmp_path / "preprocess.json").write_text(json.dumps({"schema_version": 1, "inputs": {"text": TEXT}}))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import numpy\n"
        "from shipped import preprocess\n"
        "spec = preprocess.read(sys.argv[1] + '/preprocess.json')['inputs']['text']\n"
        "print(preprocess.apply(spec, numpy.array(['the film, again'])).tolist())\n"
        "assert not any(name.split('.')[0] == 'tasks' for name in sys.modules)\n"
    )
    command = [sys.executable, "-I", "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[[2, 3, 4, 1, 0]]"


NUMBERS = {"kind": "array", "shape": [2], "dtype": "float32"}
SERIES = {"kind": "series", "shape": [3, 1], "dtype": "float32", "change": "difference"}
AGES = {"kind": "number", "shape": [2], "columns": ["a", "b"], "missing": [1.0, 2.0], "mean": [0, 0], "scale": [1, 1]}


@pytest.mark.parametrize(
    ("spec", "raw"),
    [
        (NUMBERS, [[np.nan, 1.0]]),
        (NUMBERS, [[np.inf, 1.0]]),
        (NUMBERS, [[1e39, 1.0]]),
        (NUMBERS | {"mean": [0, 0], "scale": [1, 1]}, [[np.nan, 1.0]]),
        (AGES, [[np.inf, 1.0]]),
        (SERIES, [[[np.nan], [1.0], [2.0]]]),
        (SERIES | {"change": "log"}, [[[1e39], [1e39], [1.0]]]),
    ],
)
def test_what_is_no_number_is_refused_as_in_training(spec, raw):
    """An integer program would take it for 0, and answer."""
    with pytest.raises(ValueError, match="finite numbers within float32 expected; received others"):
        preprocess.apply(spec, np.array(raw))


def test_a_large_value_changes_in_use_by_what_it_changed_by_in_training():
    """There windows are float32, whose neighbours lie 64 apart at 10⁹; JSON and CSV files give doubles."""
    doubles = 1e9 + np.array([[[0.0], [40.0], [110.0]]])
    assert preprocess.apply(SERIES, doubles).tolist() == preprocess.apply(SERIES, doubles.astype("f4")).tolist()


def test_a_number_that_is_missing_has_a_value():
    assert preprocess.apply(AGES, np.array([[np.nan, np.nan], [3.0, 4.0]])).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("far", [2**32 + 3, -(2**32) + 3, 2**31, -(2**31) - 1])
def test_an_integer_that_32_bits_do_not_hold_is_refused(far):
    for spec in ({"kind": "id", "shape": [1], "vocabulary": 50}, {"kind": "array", "shape": [1], "dtype": "int32"}):
        with pytest.raises(ValueError, match=f"numbers from .* expected; received {far} to {far}"):
            preprocess.apply(spec, np.array([[far]]))
    least = np.array([[-(2**31)], [2**31 - 1]])
    assert preprocess.apply({"kind": "array", "shape": [1], "dtype": "int32"}, least).tolist() == least.tolist()
