"""Who changed what, and what is done about it: the whole table, and the digests it rests on."""

import math

import numpy as np
import pyarrow as pa
import pytest

from mlporter.catalogue import BY_NAME
from mlporter.plan.three_sides.sent.digests import column_digests, key_digests, value_digest
from mlporter.plan.three_sides.sides import ABSENT, Outcome, State, Wish, decide, state_of

COPY = Wish()
UPDATE = Wish(updates=True, unknown="ours")
SYNC = Wish(updates=True, edits="theirs")
OURS = Wish(updates=True, edits="ours", both="ours", unknown="ours")
THEIRS = Wish(updates=True, edits="theirs", both="theirs", unknown="theirs")
SEND, KEEP, CONFLICT = Outcome.SEND, Outcome.KEEP, Outcome.CONFLICT


@pytest.mark.parametrize(
    ("source", "target", "base", "state"),
    [
        (1, 1, None, State.SAME),
        (1, 1, 2, State.SAME),
        (1, 2, None, State.UNKNOWN),
        (1, 2, 2, State.SOURCE_CHANGED),
        (1, 2, 1, State.TARGET_EDITED),
        (1, 2, 3, State.BOTH_CHANGED),
        (1, ABSENT, ABSENT, State.SOURCE_CHANGED),
        (1, ABSENT, 1, State.TARGET_EDITED),
        (1, ABSENT, 2, State.BOTH_CHANGED),
        (ABSENT, 1, 1, State.SOURCE_CHANGED),
        (ABSENT, 1, ABSENT, State.TARGET_EDITED),
    ],
)
def test_who_changed_it(source, target, base, state):
    assert state_of(source, target, base) is state


@pytest.mark.parametrize(
    ("wish", "changed", "edited", "both", "unknown"),
    [
        (COPY, CONFLICT, CONFLICT, CONFLICT, CONFLICT),
        (UPDATE, SEND, CONFLICT, CONFLICT, SEND),
        (SYNC, SEND, KEEP, CONFLICT, CONFLICT),
        (OURS, SEND, SEND, SEND, SEND),
        (THEIRS, SEND, KEEP, KEEP, KEEP),
    ],
)
def test_what_is_done_about_it(wish, changed, edited, both, unknown):
    states = (State.SOURCE_CHANGED, State.TARGET_EDITED, State.BOTH_CHANGED, State.UNKNOWN)
    assert [decide(state, wish) for state in states] == [changed, edited, both, unknown]


def test_what_is_newer_there_is_overwritten_by_force_alone():
    assert decide(State.UNKNOWN, UPDATE, is_newer=True) is CONFLICT
    forced = Wish(updates=True, unknown="ours", force=True)
    states = (State.SOURCE_CHANGED, State.TARGET_EDITED, State.BOTH_CHANGED, State.UNKNOWN)
    assert {decide(state, forced, is_newer=True) for state in states} == {SEND}


# --- Digests --------------------------------------------------------------------------------------


def test_equal_numbers_have_equal_digests():
    kind = pa.float64()
    assert value_digest(0.0, kind) == value_digest(-0.0, kind)
    assert value_digest(math.nan, kind) == value_digest(-math.nan, kind)
    assert len({value_digest(v, kind) for v in (0.0, math.nan, math.inf, -math.inf, None)}) == 5


def test_nothing_is_neither_an_empty_text_nor_absent():
    kind = pa.string()
    found = {value_digest(value, kind) for value in (None, "", "\0", "None")}
    assert len(found) == 4
    assert ABSENT not in found
    assert ABSENT not in {value_digest(value, pa.int64()) for value in (None, 0, 1)}


def test_json_is_what_it_says_and_not_how_it_is_written():
    kind = pa.string()
    written = ('{"a": 1, "b": [1, 2]}', '{"b":[1,2],"a":1}')
    assert len({value_digest(text, kind, is_json=True) for text in written}) == 1
    assert len({value_digest(text, kind) for text in written}) == 2
    assert value_digest("{", kind, is_json=True) == value_digest("{", kind)
    assert value_digest("[1, 2]", kind, is_json=True) != value_digest("[2, 1]", kind, is_json=True)


def test_a_digest_hangs_on_no_process():
    """What is remembered is read by the next release, too."""
    assert value_digest("champion", pa.string()) == 10138915390405754734
    assert value_digest(7, pa.int64()) == 1346066267577507604
    assert value_digest(0.5, pa.float64()) == 306524380890059637


def test_rows_have_a_digest_for_each_column_and_one_for_the_key():
    table = BY_NAME["tags"]
    batch = pa.RecordBatch.from_pydict(
        {"run_uuid": ["a", "a", "b"], "key": ["x", "y", "x"], "value": ["1", "1", "1"]}
    )
    columns = column_digests(table, batch)
    assert columns.shape == (3, 3)
    assert len(set(columns[:, 2].tolist())) == 1
    keys = key_digests(batch, ("run_uuid", "key"))
    assert keys.dtype == np.uint64
    assert len(set(keys.tolist())) == 3
