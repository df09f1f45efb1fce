"""Sentences of Python's own library."""

import argparse
import inspect
from pathlib import Path

import numpy as np
import pytest

from tasks.data import docstrings
from tasks.errors import DataError
from tasks.examples.split import split
from tasks.params import Prepare

PARAMS = Prepare.model_validate({"source": "docstrings", "split": {"by": "group"}})


@pytest.fixture(scope="module")
def source():
    return docstrings.load(PARAMS)


def test_sentences_are_of_the_part_whose_modules_say_them(source):
    texts = source.train.inputs["text"].tolist()
    part = dict(zip(texts, source.train.targets["label"].tolist(), strict=True))
    assert len(part) == len(texts) > 5000
    said = " ".join(inspect.getdoc(argparse.HelpFormatter).split()).split(". ")[0].rstrip(".")
    (found,) = (text for text in texts if text.startswith(said))
    assert source.classes[part[found]] == "development"
    assert not [text for text in texts if ">>>" in text or not 4 <= len(docstrings.WORDS.findall(text)) <= 60]


def test_no_file_is_on_both_sides_and_each_part_on_all(source):
    where = dict(zip(source.train.inputs["text"].tolist(), source.train.targets["(split)"].tolist(), strict=True))
    splits = split(source, PARAMS)
    files = [{where[text] for text in splits[name].inputs["text"]} for name in ("train", "validation", "test")]
    assert sum(map(len, files)) == len(set().union(*files))
    whole = np.bincount(source.train.targets["label"])
    for name, share in (("test", 0.2), ("validation", 0.08)):
        shares = np.bincount(splits[name].targets["label"], minlength=len(whole)) / whole
        assert np.abs(shares - share).max() < 0.1
        assert shares.min() > 0


def test_a_python_without_its_files_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(docstrings.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(DataError, match="this Python lacks the files of its library"):
        docstrings.check(PARAMS)


def test_a_broken_file_and_tests_have_no_sentences(monkeypatch, tmp_path):
    for name, content in {
        "argparse.py": '"""Parse all of the options that there are. Short."""',
        "json/decoder.py": '"""Read what was written as text."""',
        "json/tests/test_all.py": '"""Tests say nothing of the library."""',
        "json/broken.py": "def (",
        "csv.py": '"""Parse all of the options that there are."""',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Path(tmp_path / name).write_text(content)
    monkeypatch.setattr(docstrings.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    found = docstrings.load(PARAMS)
    named = [found.classes[label] for label in found.train.targets["label"]]
    assert dict(zip(found.train.inputs["text"], named, strict=True)) == {
        "Parse all of the options that there are.": "data",  # the first that says it
        "Read what was written as text.": "data",
    }
