"""What a server cannot be told is named by columns that there are."""

from mlporter.catalogue import BY_NAME
from mlporter.catalogue.rest_limits import UNSETTABLE


def test_every_column_is_in_its_table():
    for table, columns in UNSETTABLE.items():
        assert columns <= set(BY_NAME[table].by_name), table


def test_no_key_is_left_out_of_comparisons():
    for table, columns in UNSETTABLE.items():
        assert not columns & set(BY_NAME[table].key), table
