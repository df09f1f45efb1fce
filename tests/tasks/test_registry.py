"""Tables of members by name."""

import pytest

from tasks.errors import ParamsError
from tasks.members import FAMILIES, METHODS, SOURCES
from tasks.params import Prepare
from tasks.params.compress import Own as Methods
from tasks.params.models import Own as Families
from tasks.registry import Registry


def test_a_member_is_imported_only_when_it_is_loaded():
    table = Registry("writer", "none.of.these", {"never": "no_such_module:f", "words": "string:whitespace"}, str)
    assert list(table) == ["never", "words"]
    assert table.load("words") == " \t\n\r\x0b\x0c"
    with pytest.raises(ModuleNotFoundError):
        table.load("never")


def test_a_wrong_name_is_one_line_with_a_near_match_and_what_is_allowed():
    with pytest.raises(ParamsError) as caught:
        Registry("data source", "none.of.these", {"digits": "a:b", "idx": "a:c"}, str).load("digit")
    assert str(caught.value) == "no data source is named 'digit'; allowed: digits, idx. did you mean 'digits'?"


@pytest.mark.parametrize(("table", "key", "own"), [(FAMILIES, "family", Families), (METHODS, "method", Methods)])
def test_sections_are_those_that_members_say_are_theirs(table, key, own):
    """Sections are known without importing who they are for; this is what holds both together."""
    known = {name: schema for schema in own.__args__ for name in schema.model_fields[key].annotation.__args__}
    assert known == {name: table.load(name).schema for name in table.members}


def test_every_source_reads_the_section_prepare():
    assert set(Prepare.model_fields["source"].annotation.__args__) == set(SOURCES.members)
    assert {SOURCES.load(name).schema for name in SOURCES.members} == {Prepare}


def test_a_method_either_makes_a_model_or_writes_one():
    for name in METHODS.members:
        method = METHODS.load(name)
        assert (method.apply is None) != (method.write is None), name
