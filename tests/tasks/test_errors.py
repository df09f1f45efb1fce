"""What is done with errors."""

import pytest

from tasks.errors import DataError, chain


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
