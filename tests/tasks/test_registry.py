import pytest

from tasks.errors import ParamsError
from tasks.registry import resolve


def test_a_name_is_resolved_to_its_function_and_imported_only_then():
    registry = {"dumps": "json:dumps", "never": "no_such_module:function"}
    assert resolve(registry, "dumps", "writer")([1]) == "[1]"


def test_a_wrong_name_is_one_line_with_a_near_match_and_what_is_allowed():
    with pytest.raises(ParamsError) as caught:
        resolve({"digits": "a:b", "idx": "a:c"}, "digit", "data source")
    assert str(caught.value) == "no data source is named 'digit'; allowed: digits, idx. did you mean 'digits'?"
