import pydoc_data.topics

import pytest

from tasks.data import pydoc
from tasks.errors import DataError
from tasks.params import Prepare


def test_it_is_what_help_tells():
    found = pydoc.load(Prepare(source="pydoc", tokens="characters", length=32))
    ids = found.train.ids
    text = "".join(found.classes[number] for number in ids)
    topics = pydoc_data.topics.topics
    assert text == "\n".join(topics[name] for name in sorted(topics))
    assert len(found.train) == (len(text) - 1) // 32
    assert list(found.origin) == ["topics.py"]


def test_a_python_without_it_is_told(monkeypatch):
    monkeypatch.setattr(pydoc, "MODULE", "nobody_has.topics")
    with pytest.raises(
        DataError, match=r"nobody_has\.topics: this Python lacks it; name a text of yours by source: text"
    ):
        pydoc.check(Prepare(source="pydoc"))
