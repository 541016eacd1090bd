from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.artifacts.disk import sorting
from mlporter.artifacts.disk.sorting import SortedNumbers, in_order


@pytest.fixture(autouse=True, scope="module")
def few():
    """Most of it is on disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "_FEW", 3)
        yield


@given(st.lists(st.tuples(st.binary(max_size=4), st.integers(0, 2**62)), max_size=20))
def test_keys_in_order_each_with_its_last_number(items):
    assert list(in_order(items)) == sorted(dict(items).items())
    with closing(SortedNumbers()) as numbers:
        for key, number in items:
            numbers[key] = number
            assert numbers.get(key) == number
        assert {key: numbers.get(key) for key, _ in items} == dict(items)
        assert numbers.get(b"absent") is None
        assert list(numbers.items()) == sorted(dict(items).items())
