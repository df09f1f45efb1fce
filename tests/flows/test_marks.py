"""A terminal without the marks of figures."""

import codecs

import pytest

from flows import support
from flows.views.marks import plainly
from tasks.records import notation


@pytest.fixture(autouse=True)
def _handler():
    codecs.register_error("tercet", plainly)


@pytest.mark.parametrize("marks", [(*notation.MARKS.values(), notation.UNKNOWN), support.MARKS.values()])
def test_marks_that_differ_differ_in_ascii(marks):
    shown = [mark.encode("ascii", "tercet") for mark in marks if mark]
    assert len(set(shown)) == len(shown)
    assert b"?" not in shown


def test_columns_stay_where_they_are():
    text = "94.2 ±2.5 ● 0.281 [0.99–1.01] 1.00× é"
    assert text.encode("ascii", "tercet") == b"94.2 ~2.5 * 0.281 [0.99-1.01] 1.00x ?"
    assert text.encode("utf-8", "tercet").decode() == text


def test_what_cannot_be_read_is_left_to_who_reads():
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", "tercet")
