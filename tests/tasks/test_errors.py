"""What is done with errors."""

import pytest

from tasks.errors import MANY, DataError, chain, suggest


def raised(error, *, cause):
    with pytest.raises(type(error)) as caught:
        raise error from cause
    return caught.value


def test_a_chain_goes_down_to_the_bottom():
    bottom, middle, top = ConnectionError("away"), ValueError("no answer"), DataError("no data")
    assert list(chain(raised(top, cause=raised(middle, cause=bottom)))) == [top, middle, bottom]
    assert list(chain(None)) == []


def test_a_chain_that_leads_back_ends():
    one, other = ValueError("one"), ValueError("other")
    assert list(chain(raised(one, cause=one))) == [one]
    assert list(chain(raised(other, cause=raised(one, cause=other)))) == [other, one]


def test_a_wrong_name_is_told_with_what_is_allowed_and_of_very_many_the_nearest():
    assert suggest("x", []) == "allowed: none."
    assert suggest("int", ["int8", "float32"]) == "allowed: float32, int8. did you mean 'int8'?"
    names = [f"layer_{i}" for i in range(MANY)]
    assert suggest("layer_7x", names).startswith(f"allowed: {', '.join(sorted(names))}.")
    told = suggest("convv", [*names, "conv"])
    assert told.startswith("allowed: conv, ")
    assert told.endswith(f" and {MANY + 1 - told.count(',') - 1} others. did you mean 'conv'?")
