import numpy as np
import pytest

from tasks.data.tsv import load
from tasks.errors import DataError
from tasks.params import Prepare

TRAIN = "a fine film\tgood\nnot für me\tbad\n 'tis dull \tbad\n"


def load_from(folder):
    return load(Prepare(source="tsv", path=str(folder)))


def test_sentences_and_sorted_classes_come_back(tmp_path):
    (tmp_path / "train.tsv").write_text(TRAIN, encoding="utf-8")
    source = load_from(tmp_path)
    assert source.train.inputs["text"].tolist() == ["a fine film", "not für me", "'tis dull"]
    assert source.train.inputs["text"].dtype == object
    assert source.classes == ("bad", "good")
    assert source.train.targets["label"].tolist() == [1, 0, 0]
    assert source.train.targets["label"].dtype == np.int64
    assert source.test is None


def test_a_byte_order_mark_windows_ends_and_a_missing_last_end_change_nothing(tmp_path):
    (tmp_path / "train.tsv").write_bytes(b"\xef\xbb\xbf" + TRAIN.strip().replace("\n", "\r\n").encode())
    source = load_from(tmp_path)
    assert source.train.inputs["text"].tolist() == ["a fine film", "not für me", "'tis dull"]
    assert source.classes == ("bad", "good")


def test_test_tsv_comes_before_dev_tsv(tmp_path):
    (tmp_path / "train.tsv").write_text(TRAIN)
    (tmp_path / "dev.tsv").write_text("from dev\tgood\n")
    assert load_from(tmp_path).test.inputs["text"].tolist() == ["from dev"]
    (tmp_path / "test.tsv").write_text("from test\tbad\n")
    source = load_from(tmp_path)
    assert source.test.inputs["text"].tolist() == ["from test"]
    assert set(source.origin) == {"train.tsv", "test.tsv"}


BROKEN = {
    "empty": (b"", "train.tsv: the file is empty"),
    "no tab": (b"good film\t1\nno label here\n", "train.tsv:2: sentence, one tab, label expected; received 0 tab(s)"),
    "two tabs": (b"a\tb\t1\n", "train.tsv:1: sentence, one tab, label expected; received 2 tab(s)"),
    "blank line": (b"a\t1\n\nb\t0\n", "train.tsv:2: "),
    "no sentence": (b"a\t1\nb\t0\n  \t1\n", "train.tsv:3: the sentence is empty"),
    "no label": (b"a\t\n", "train.tsv:1: the label is empty"),
    "not utf-8": (b"a\t1\ncaf\xe9\t0\n", "train.tsv:2: UTF-8 expected; received the byte 0xe9"),
    "header": (b"sentence\tlabel\na\t1\n", "train.tsv:1: examples from the first line on expected"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_bad_line_is_named_by_file_and_number(tmp_path, content, message):
    (tmp_path / "train.tsv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_from(tmp_path)
    assert str(caught.value).startswith(str(tmp_path / message.split(":")[0]))
    assert message in str(caught.value)


def test_a_label_that_training_does_not_know_is_an_error(tmp_path):
    (tmp_path / "train.tsv").write_text(TRAIN)
    (tmp_path / "dev.tsv").write_text("one\tgood\ntwo\tgod\n")
    with pytest.raises(DataError, match=r"dev\.tsv:2: the label 'god' .* did you mean 'good'"):
        load_from(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"train\.tsv: no such file"):
        load_from(tmp_path)


def test_sst2_is_read_whole(data):
    if not (data / "sst2").is_dir():
        pytest.skip(f"no sst2 folder in {data}")
    source = load_from(data / "sst2")
    assert (len(source.train), len(source.test)) == (6920, 872)
    assert np.bincount(source.train.targets["label"]).tolist() == [3310, 3610]
    assert np.bincount(source.test.targets["label"]).tolist() == [428, 444]
    assert source.train.inputs["text"][0].startswith("a stirring , funny and finally transporting")
