"""What YAML makes of a word: one reader says what another does, or the word is none that we take."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from tasks.errors import ParamsError
from tasks.params.reading import parse_yaml
from tasks.params.section import Name


@pytest.mark.parametrize("name", ["08", "1e3", "12e03", "0o7", "0x1f", "0b11", "2020-01-02", "null", "true", "no"])
def test_a_name_is_refused_where_a_reader_of_yaml_takes_it_for_something_else(name):
    """Those of YAML 1.2, as DVC reads it, and those of 1.1."""
    read = {str(type(parse(f"{{{name}: 1}}"))) for parse in (lambda text: next(iter(YAML().load(text))), first_of_1_1)}
    assert read != {"<class 'str'>"}
    with pytest.raises(ValueError, match="YAML reads as"):
        TypeAdapter(Name).validate_python(name)


def first_of_1_1(text):
    return next(iter(yaml.safe_load(text)))


@given(st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,8}\Z"))
@example("1e")
@example("e3")
@example("0-0-0")
@example("2-x")
def test_a_name_that_is_taken_is_text_to_every_reader_of_yaml(name):
    try:
        TypeAdapter(Name).validate_python(name)
    except ValueError:
        return
    assert first_of_1_1(f"{{{name}: 1}}") == name
    assert next(iter(YAML(typ="safe", pure=True).load(f"{{{name}: 1}}"))) == name


@given(st.from_regex(r"\A[-+]?[0-9.:xobeE]{1,7}\Z") | st.floats().map(repr) | st.integers().map(str))
@example("010")
@example("09")
@example("1:30")
@example("0o17")
@example("1e3")
@example("-1.5E-3")
@example("+.5")
@example("1_000")
def test_numbers_are_read_as_dvc_reads_them(text):
    try:
        expected = YAML(typ="safe", pure=True).load(f"a: {text}")["a"]
    except Exception:  # it meets what it takes for a number, as 0x_, with any error at all
        return
    found = parse_yaml(f"a: {text}", Path("params.yaml"))["a"]
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-02-30", "'2026-02-30' is no timestamp"),
        ("!!timestamp x", "'x' is no timestamp"),
        ("!!bool maybe", "'maybe' is no bool"),
        ("!!int abc", "'abc' is no int"),
        ("9" * 5000, "'9{59} is no int"),  # more digits than Python reads
        ("*depthwise*", "expected alphabetic or numeric character, but found '\\*'"),
    ],
)
def test_what_is_not_what_it_looks_like_is_told_with_its_line(text, said):
    with pytest.raises(ParamsError, match=rf"^params\.yaml: not valid YAML: {said} \(line 2: ") as caught:
        parse_yaml(f"b: 1\na: {text}", Path("params.yaml"))
    assert str(caught.value).endswith("; what begins with * stands in quotes") == text.startswith("*")
